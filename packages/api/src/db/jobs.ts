import type { Job } from '@pai-cpt/sdk';
import { eq, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { jobs } from './schema.ts';

/** A job as this service remembers it. */
export type JobRecord = typeof jobs.$inferSelect;

/** What this service remembers of jobs. PAI is the truth; nothing is answered from here while PAI can be asked. */
export interface JobsRepository {
  /** Keeps what PAI said. Where a job is known already, its spec stays. */
  recordSeen(seen: readonly Job[]): Promise<void>;
  /** Keeps a job that this service created, with the spec that it was created from. */
  recordCreated(job: Job, spec: unknown): Promise<void>;
  find(jobId: string): Promise<JobRecord | undefined>;
  remove(jobId: string): Promise<void>;
}

export function createJobsRepository({ query }: Database): JobsRepository {
  return {
    async recordSeen(seen) {
      // One statement may not write one row twice, and a list may name a job twice when it changes between two pages.
      const rows = [...new Map(seen.map((job) => [job.jobId, toRow(job)])).values()];
      if (rows.length === 0) return;
      await query.insert(jobs).values(rows).onConflictDoUpdate({ target: jobs.jobId, set: latest });
    },
    async recordCreated(job, spec) {
      const row = { ...toRow(job), spec };
      await query
        .insert(jobs)
        .values(row)
        .onConflictDoUpdate({ target: jobs.jobId, set: { ...latest, spec: sql`excluded.spec` } });
    },
    async find(jobId) {
      const [row] = await query.select().from(jobs).where(eq(jobs.jobId, jobId));
      return row;
    },
    async remove(jobId) {
      await query.delete(jobs).where(eq(jobs.jobId, jobId));
    },
  };
}

const latest = {
  displayName: sql`excluded.display_name`,
  phase: sql`excluded.phase`,
  status: sql`excluded.status`,
  facts: sql`excluded.facts`,
  createdAt: sql`excluded.created_at`, // at creation it is a guess by this machine's clock
  updatedAt: sql`now()`,
};

function toRow(job: Job): typeof jobs.$inferInsert {
  const { jobId, displayName, phase, status } = job;
  const createdAt = new Date(job.createdAt);
  if (Number.isNaN(createdAt.getTime())) createdAt.setTime(0); // a list must not fail because of one odd time in it
  return { jobId, displayName, phase, status, facts: job, createdAt };
}

import { index, integer, jsonb, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core';

const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });

/** Jobs this service created or saw at PAI. PAI is the truth; `facts` is what it said last. */
export const jobs = pgTable(
  'jobs',
  {
    jobId: text('job_id').primaryKey(),
    displayName: text('display_name').notNull(),
    /** The `CptRunSpec` as it was sent; null for a job that was not created through this service. */
    spec: jsonb('spec'),
    phase: text('phase').notNull(),
    status: text('status').notNull(),
    facts: jsonb('facts').notNull(),
    /** When PAI created the job, not when the row was written. */
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull().defaultNow(),
  },
  (table) => [index('jobs_created_at_job_id').on(table.createdAt, table.jobId)],
);

/** Services seen at PAI; `facts` is what it said last. */
export const services = pgTable('services', {
  name: text('name').primaryKey(),
  phase: text('phase').notNull(),
  status: text('status').notNull(),
  facts: jsonb('facts').notNull(),
  firstSeenAt: instant('first_seen_at').notNull().defaultNow(),
  updatedAt: instant('updated_at').notNull().defaultNow(),
});

/**
 * Requests that carried an `Idempotency-Key`. A row without `answer_status` is in flight while its advisory lock is
 * held, and of unknown outcome when it is not: the process died between the call to PAI and the answer.
 */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    /** Method and path, so that one key may be used for two kinds of request. */
    operation: text('operation').notNull(),
    key: text('key').notNull(),
    /** SHA-256 of the request, hex. */
    fingerprint: text('fingerprint').notNull(),
    answerStatus: integer('answer_status'),
    answerHeaders: jsonb('answer_headers').$type<Record<string, string>>(),
    /** The very bytes that were sent, so that a replay is equal byte by byte. */
    answerBody: text('answer_body'),
    createdAt: instant('created_at').notNull().defaultNow(),
    answeredAt: instant('answered_at'),
  },
  (table) => [primaryKey({ columns: [table.operation, table.key] })],
);

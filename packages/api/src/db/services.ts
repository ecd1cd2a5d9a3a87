import type { Service } from '@pai-cpt/sdk';
import { eq, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { services } from './schema.ts';

/** A service as this service remembers it. */
export type ServiceRecord = typeof services.$inferSelect;

/** The services that were seen at PAI, and what it said of them last. */
export interface ServicesRepository {
  recordSeen(seen: readonly Service[]): Promise<void>;
  find(name: string): Promise<ServiceRecord | undefined>;
}

export function createServicesRepository({ query }: Database): ServicesRepository {
  return {
    async recordSeen(seen) {
      const rows = [...new Map(seen.map((service) => [service.name, toRow(service)])).values()];
      if (rows.length === 0) return;
      await query
        .insert(services)
        .values(rows)
        .onConflictDoUpdate({
          target: services.name,
          set: {
            phase: sql`excluded.phase`,
            status: sql`excluded.status`,
            facts: sql`excluded.facts`,
            updatedAt: sql`now()`,
          },
        });
    },
    async find(name) {
      const [row] = await query.select().from(services).where(eq(services.name, name));
      return row;
    },
  };
}

function toRow(service: Service): typeof services.$inferInsert {
  const { name, phase, status } = service;
  return { name, phase, status, facts: service };
}

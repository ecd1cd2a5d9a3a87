import { type Database, openDatabase } from './database.ts';
import { createIdempotencyKeys, type IdempotencyKeys } from './idempotency-keys.ts';
import { createJobsRepository, type JobsRepository } from './jobs.ts';
import { createServicesRepository, type ServicesRepository } from './services.ts';

/** What the service keeps, one part per table. */
export interface Repositories {
  readonly jobs: JobsRepository;
  readonly services: ServicesRepository;
  readonly idempotencyKeys: IdempotencyKeys;
  /** @throws CptError `CPT_SERVICE_DATABASE` when the database does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** The repositories over the PostgreSQL database at `url`, whose tables are brought up to date first. */
export async function openRepositories(
  url: string,
  onConnectionLost: (error: Error) => void = () => undefined,
): Promise<Repositories> {
  const database: Database = await openDatabase(url, onConnectionLost);
  return {
    jobs: createJobsRepository(database),
    services: createServicesRepository(database),
    idempotencyKeys: createIdempotencyKeys(database),
    ping: database.ping,
    close: database.close,
  };
}

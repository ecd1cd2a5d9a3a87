import { fileURLToPath } from 'node:url';
import { CptError } from '@pai-cpt/core';
import { DrizzleQueryError } from 'drizzle-orm/errors';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';

/** Below the package, not below `dist`: the compiler does not copy `.sql` files. */
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));
/** Any number that no other program on the database uses; two services that start at once must agree on it. */
const MIGRATION_LOCK = 4_851_072_901;

export interface Database {
  readonly query: NodePgDatabase;
  /**
   * Connections that a request keeps for its whole length, to hold a lock. They are not those of `query`: requests that
   * each hold one and wait for a second would wait for each other.
   */
  readonly connectForLock: () => Promise<pg.PoolClient>;
  /** Rejects with `CPT_SERVICE_DATABASE` when the server does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Connects and brings the tables up to date; several services may do so at once, one migrates and the others wait.
 * @throws CptError `CPT_SERVICE_DATABASE` when the server cannot be reached or refuses.
 */
export async function openDatabase(url: string, onConnectionLost: (error: Error) => void): Promise<Database> {
  const settings = { connectionString: url, application_name: 'cpt-api', connectionTimeoutMillis: 5_000 };
  const pool = new pg.Pool({ ...settings, max: 10 });
  const lockPool = new pg.Pool({ ...settings, max: 10 });
  for (const each of [pool, lockPool]) {
    // A connection that breaks between two queries has nobody to tell, and without a listener ends the process: the pool
    // listens on those that lie idle in it, not on those that it has lent.
    each.on('connect', (client) => client.on('error', onConnectionLost));
    each.on('error', () => undefined);
  }
  const close = async () => {
    await Promise.all([pool.end(), lockPool.end()]);
  };
  try {
    await migrateUnderLock(await lockPool.connect());
  } catch (error) {
    await close();
    throw unreachable(error);
  }
  return {
    query: drizzle(pool),
    connectForLock: () => lockPool.connect().catch((error) => Promise.reject(unreachable(error))),
    async ping() {
      await pool.query('select 1').catch((error) => Promise.reject(unreachable(error)));
    },
    close,
  };
}

async function migrateUnderLock(client: pg.PoolClient): Promise<void> {
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await migrate(drizzle(client), { migrationsFolder: MIGRATIONS });
    await client.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    client.release();
  } catch (error) {
    client.release(true); // closing the connection gives the lock back
    throw error;
  }
}

/** The error as `CPT_SERVICE_DATABASE` when a query failed because the server is gone; undefined for anything else. */
export function asLostDatabase(error: unknown): CptError | undefined {
  if (!(error instanceof DrizzleQueryError)) return undefined;
  const { code, message = '' } = (error.cause ?? {}) as { code?: string; message?: string };
  // Classes 08 (connection), 53 (resources) and 57P (operator), codes of the socket, and the driver, which gives none.
  const isLost =
    code === undefined ? /timeout|terminated|connection|pool/i.test(message) : /^(08|53|57P|E[A-Z])/.test(code);
  return isLost ? unreachable(error.cause ?? error) : undefined;
}

function unreachable(cause: unknown): CptError {
  const reason = cause instanceof AggregateError ? cause.errors[0] : cause;
  const message = reason instanceof Error ? reason.message : String(reason);
  return new CptError('CPT_SERVICE_DATABASE', `the database does not answer: ${message}`, {}, { cause });
}

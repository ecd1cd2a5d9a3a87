import { and, eq, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import type pg from 'pg';
import type { Database } from './database.ts';
import { idempotencyKeys } from './schema.ts';

/** An answer as it was sent. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A request as far as its key is concerned. */
export interface KeyedRequest {
  /** Method and path. */
  readonly operation: string;
  readonly key: string;
  /** Equal for equal requests, different for different ones. */
  readonly fingerprint: string;
}

/** This process works on the request. Exactly one of the three ends it. */
export interface ClaimedKey {
  readonly outcome: 'claimed';
  /** Keeps the answer; equal requests get it from now on. */
  complete(answer: StoredAnswer): Promise<void>;
  /** Forgets the key: nothing was done, so the request may come again. */
  forget(): Promise<void>;
  /** Leaves it open whether something was done; equal requests are told so. */
  abandon(): Promise<void>;
}

export type Claim =
  | ClaimedKey
  | { readonly outcome: 'answered'; readonly answer: StoredAnswer }
  | { readonly outcome: 'other-request' | 'in-flight' | 'unknown' };

/** Takes idempotency keys, over any number of processes on one database. */
export interface IdempotencyKeys {
  claim(request: KeyedRequest): Promise<Claim>;
}

/**
 * Keys in the database. While a request is worked on, its connection holds an advisory lock, which PostgreSQL gives back
 * when the process dies; so a key in flight is told from one whose process was killed, without clocks and leases.
 */
export function createIdempotencyKeys(database: Database): IdempotencyKeys {
  return {
    async claim(request) {
      const client = await database.connectForLock();
      try {
        const claim = await claimOn(client, request);
        if (claim.outcome !== 'claimed') client.release();
        return claim;
      } catch (error) {
        client.release(true);
        throw error;
      }
    },
  };
}

async function claimOn(client: pg.PoolClient, request: KeyedRequest): Promise<Claim> {
  const query = drizzle(client);
  const { operation, key, fingerprint } = request;
  const lock = sql`hashtextextended(${`${operation} ${key}`}, 0)`;
  const isRow = and(eq(idempotencyKeys.operation, operation), eq(idempotencyKeys.key, key));

  const attempt = await query.execute<{ locked: boolean }>(sql`select pg_try_advisory_lock(${lock}) as locked`);
  const hasLock = attempt.rows[0]?.locked === true;
  if (hasLock) {
    const inserted = await query
      .insert(idempotencyKeys)
      .values({ operation, key, fingerprint })
      .onConflictDoNothing()
      .returning({ key: idempotencyKeys.key });
    if (inserted.length === 1) return claimed();
  }
  const [row] = await query.select().from(idempotencyKeys).where(isRow);
  if (hasLock) await unlock();
  if (row && row.fingerprint !== fingerprint) return { outcome: 'other-request' };
  if (!hasLock || !row) return { outcome: 'in-flight' };
  if (row.answerStatus === null) return { outcome: 'unknown' };
  const answer = { status: row.answerStatus, headers: row.answerHeaders ?? {}, body: row.answerBody ?? '' };
  return { outcome: 'answered', answer };

  async function unlock() {
    await query.execute(sql`select pg_advisory_unlock(${lock})`);
  }

  /** Runs the last statement, then gives lock and connection back; the lock goes with the connection if that fails. */
  async function finish(last: () => Promise<unknown>) {
    try {
      await last();
      await unlock();
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  function claimed(): ClaimedKey {
    return {
      outcome: 'claimed',
      complete: ({ status, headers, body }) =>
        finish(() =>
          query
            .update(idempotencyKeys)
            .set({ answerStatus: status, answerHeaders: { ...headers }, answerBody: body, answeredAt: sql`now()` })
            .where(isRow),
        ),
      forget: () => finish(() => query.delete(idempotencyKeys).where(isRow)),
      abandon: () => finish(async () => undefined),
    };
  }
}

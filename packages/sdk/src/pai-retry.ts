import { CptError } from '@pai-cpt/core';

/** When and how often a failed call is made again. */
export interface RetryPolicy {
  /** Calls in all, the first one included. */
  readonly maxAttempts: number;
  /** Upper end of the first wait; it doubles with each attempt. */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

/** Four calls with up to 1.75 s of waiting between them, unless PAI asks for more. */
export const DEFAULT_RETRY: RetryPolicy = { maxAttempts: 4, baseDelayMs: 250, maxDelayMs: 8000 };

/** A wait that PAI asks for is honoured up to this; a longer one is the caller's to decide. */
const LONGEST_RETRY_AFTER_MS = 60_000;

/** How the call stands that failed. */
export interface Attempt {
  readonly isIdempotent: boolean;
  /** 1 for the first call. */
  readonly attempt: number;
  readonly policy: RetryPolicy;
  readonly random: () => number;
}

/**
 * Milliseconds until the next attempt, or `undefined` when there must be none.
 *
 * A create is repeated only after a throttling or a refused connection, because both are certain not to have been carried
 * out. After a timeout, a reset or a 5xx it may have been: PAI has no client token, so repeating it starts a second job.
 * The wait is random between 0 and the doubled bound ("full jitter"), and never below what PAI asks for.
 */
export function retryDelayMs(error: unknown, { isIdempotent, attempt, policy, random }: Attempt): number | undefined {
  if (!CptError.isInstance(error) || attempt >= policy.maxAttempts) return undefined;
  const isRefused = error.details.systemCode === 'ECONNREFUSED';
  const isSafe = error.code === 'CPT_PAI_THROTTLED' || isRefused;
  const isTransient = error.code === 'CPT_PAI_UNAVAILABLE' || error.code === 'CPT_PAI_TIMEOUT';
  if (!isSafe && !(isIdempotent && isTransient)) return undefined;
  const asked = typeof error.details.retryAfterMs === 'number' ? error.details.retryAfterMs : 0;
  if (asked > LONGEST_RETRY_AFTER_MS) return undefined;
  const bound = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (attempt - 1));
  return Math.max(asked, random() * bound);
}

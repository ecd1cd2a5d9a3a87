import { type ErrorCode, PaiError } from '@pai-cpt/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_RETRY, retryDelayMs } from './pai-retry.ts';

const decide = (code: ErrorCode, details: object, isIdempotent: boolean, attempt = 1, random = 0.5) =>
  retryDelayMs(new PaiError(code, '', { ...details }), {
    isIdempotent,
    attempt,
    policy: DEFAULT_RETRY,
    random: () => random,
  });

describe('retryDelayMs', () => {
  it.each<[ErrorCode, object, repeated: boolean, createRepeated: boolean]>([
    ['CPT_PAI_THROTTLED', {}, true, true],
    ['CPT_PAI_UNAVAILABLE', { systemCode: 'ECONNREFUSED' }, true, true],
    ['CPT_PAI_UNAVAILABLE', { systemCode: 'ECONNRESET' }, true, false],
    ['CPT_PAI_UNAVAILABLE', { status: 503 }, true, false],
    ['CPT_PAI_TIMEOUT', {}, true, false],
    ['CPT_PAI_REJECTED', {}, false, false],
    ['CPT_PAI_NOT_FOUND', {}, false, false],
    ['CPT_PAI_FORBIDDEN', {}, false, false],
    ['CPT_PAI_SIGNATURE', {}, false, false],
  ])('%s %j: repeatable %s, create %s', (code, details, repeated, createRepeated) => {
    expect(decide(code, details, true) !== undefined).toBe(repeated);
    expect(decide(code, details, false) !== undefined).toBe(createRepeated);
  });

  it('ends with the last attempt', () => {
    expect(decide('CPT_PAI_THROTTLED', {}, true, 3)).toBeDefined();
    expect(decide('CPT_PAI_THROTTLED', {}, true, 4)).toBeUndefined();
  });

  it('honours the wait PAI asks for, unless it is unreasonable', () => {
    expect(decide('CPT_PAI_THROTTLED', { retryAfterMs: 12_000 }, false)).toBe(12_000);
    expect(decide('CPT_PAI_THROTTLED', { retryAfterMs: 3_600_000 }, false)).toBeUndefined();
  });

  it('waits a random part of a bound that doubles, with a ceiling', () => {
    const policy = { maxAttempts: 20, baseDelayMs: 250, maxDelayMs: 8000 };
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 19 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const delay = retryDelayMs(new PaiError('CPT_PAI_TIMEOUT', ''), {
          ...{ isIdempotent: true, attempt, policy },
          random: () => random,
        });
        const bound = [250, 500, 1000, 2000, 4000][attempt - 1] ?? 8000;
        expect(delay).toBeCloseTo(random * bound, 6);
      }),
    );
  });

  it('does not repeat after an error that is not ours', () => {
    const attempt = { isIdempotent: true, attempt: 1, policy: DEFAULT_RETRY, random: () => 0 };
    expect(retryDelayMs(new TypeError('bug'), attempt)).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { CptError, ERRORS, FormatError } from './errors.ts';

describe('errors', () => {
  it('carry code, status, retry, details and cause', () => {
    const cause = new Error('disk');
    const error = new FormatError('CPT_FORMAT_TRUNCATED', 'short', { file: 'a', byteOffset: 3 }, { cause });
    expect(error).toMatchObject({
      name: 'FormatError',
      code: 'CPT_FORMAT_TRUNCATED',
      httpStatus: 422,
      isRetryable: false,
      details: { file: 'a', byteOffset: 3 },
      cause,
    });
  });

  it('are recognised across two copies of the package, and nothing else is', () => {
    const fromAnotherCopy = { [Symbol.for('pai-cpt.error')]: true };
    expect(CptError.isInstance(fromAnotherCopy)).toBe(true);
    expect(CptError.isInstance(new Error('x'))).toBe(false);
    expect(CptError.isInstance(null)).toBe(false);
  });

  it('have well-formed codes, a status and a sentence', () => {
    for (const [code, { httpStatus, meaning }] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^CPT_[A-Z0-9]+(_[A-Z0-9]+)*$/);
      expect(httpStatus, code).toBeGreaterThanOrEqual(400);
      expect(meaning, code).toMatch(/^[A-Z].*\.$/);
    }
  });
});

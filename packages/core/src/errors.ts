/** What a code means to a caller. `docs/errors.md` says the same, and a test holds the two equal in both directions. */
export interface ErrorEntry {
  readonly httpStatus: number;
  readonly retryable: boolean;
  readonly meaning: string;
}

const entry = (httpStatus: number, retryable: boolean, meaning: string): ErrorEntry => ({
  httpStatus,
  retryable,
  meaning,
});
const caller = (meaning: string): ErrorEntry => entry(400, false, meaning);
const badFile = (meaning: string): ErrorEntry => entry(422, false, meaning);
const notYet = (meaning: string): ErrorEntry => entry(501, false, meaning);

/** Every code this project throws. Codes are part of the public interface: they are never renamed. */
export const ERRORS = {
  // The caller gave something that cannot be.
  CPT_INPUT_FILE_MISSING: caller('A named file does not exist or is not a regular file.'),
  CPT_INPUT_INVALID: caller('An argument, a field or a body is missing, unknown or out of range.'),
  CPT_INPUT_OUTPUT_EXISTS: caller('The output already exists and overwriting was not asked for.'),

  // A file is not what it claims to be.
  CPT_FORMAT_TRUNCATED: badFile('A file ends before what its own header promises.'),
  CPT_FORMAT_SHAPE_MISMATCH: badFile('A shape does not agree with its data, or is impossible.'),

  // Known and not built.
  CPT_UNSUPPORTED_CAST: notYet('No conversion exists between these two dtypes.'),

  // Waiting.
  CPT_WAIT_TIMEOUT: entry(504, true, 'The awaited state did not come before the deadline.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** Facts beside the message; `file`, `byteOffset`, `field` and `names` are the usual keys. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

const marker = Symbol.for('pai-cpt.error');

/** The base of every error this project throws on purpose. Tell them by `code`, or by class through `isInstance`. */
export class CptError extends Error {
  readonly [marker] = true;
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
    this.name = new.target.name;
  }

  get httpStatus(): number {
    return ERRORS[this.code].httpStatus;
  }

  get isRetryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  /** True also for an error that another copy of this package made, where `instanceof` is false. */
  static isInstance(error: unknown): error is CptError {
    return typeof error === 'object' && error !== null && marker in error;
  }
}

/** The caller acts: a file, a field or an option is wrong. */
export class InvalidInputError extends CptError {}

/** Whoever made the file acts. `details` name the `file` and, where one is known, the `byteOffset`. */
export class FormatError extends CptError {}

/** We act: a feature that is recognised and not built. `details.feature` names it. */
export class UnsupportedError extends CptError {}

/** Names do not match a family's table; `details.names` lists all of them at once. */
export class MappingError extends CptError {}

/** PAI refused or failed; `details` carry `status`, `paiCode` and `requestId`. */
export class PaiError extends CptError {}

/** A wait ended at its deadline; `details.last` is the last value seen. */
export class WaitTimeoutError extends CptError {}

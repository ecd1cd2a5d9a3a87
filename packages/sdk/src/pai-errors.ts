import { type ErrorCode, InvalidInputError, PaiError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';

/** What the clients of Alibaba Cloud put on the errors they throw; the older ones leave most of it out. */
interface AcsFailure {
  readonly name?: string;
  readonly message?: string;
  readonly code?: unknown;
  readonly statusCode?: unknown;
  readonly requestId?: unknown;
  readonly retryAfter?: unknown;
  readonly data?: unknown;
  readonly accessDeniedDetail?: unknown;
}

/** PAI's answer, read out of a thrown value. */
interface Failure {
  readonly status?: number;
  readonly paiCode?: string;
  readonly requestId?: string;
  readonly retryAfterMs?: number;
  /** The error code of the operating system, when no answer came. */
  readonly systemCode?: string;
  readonly text: string;
}

const CREDENTIAL_CODES =
  /^(SignatureDoesNotMatch|SignatureNonceUsed|IncompleteSignature|InvalidSignature|MissingAuthorization|InvalidAccessKeyId|InvalidAccessKeySecret|InvalidSecurityToken|MissingSecurityToken|InvalidTimeStamp|ContentHashMismatch)/;

/** What to do, where PAI's own text does not say it. */
const ADVICE: Partial<Record<ErrorCode, string>> = {
  CPT_PAI_SIGNATURE: 'check the access key, its secret, the session token and this machine’s clock',
  CPT_PAI_FORBIDDEN: 'give the RAM user or role this permission in the workspace',
  CPT_PAI_TIMEOUT: 'look whether it was done before doing it again',
  CPT_PAI_THROTTLED: 'call less often',
};

/**
 * The `PaiError` for whatever a call threw: `details` carry `action`, `status`, `paiCode`, `requestId` and, where they
 * apply, `retryAfterMs` and `systemCode`. The cause is a copy of name, message and code: the thrown value itself may hold
 * the request's headers. An error that came from neither PAI nor the network is given back as it is, but for a client that
 * was made without a credential: `InvalidInputError` `CPT_CONFIG_CREDENTIALS`.
 */
export function toPaiError(action: string, thrown: unknown, redact: (text: string) => string): unknown {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as AcsFailure;
  const failure = readFailure(error);
  if (failure.systemCode === 'InvalidCredentials') {
    const message = `${action}: the client that was given has no credential (${redact(failure.text)})`;
    return new InvalidInputError('CPT_CONFIG_CREDENTIALS', message, { field: 'transport' });
  }
  const code = classify(error, failure);
  if (code === undefined) return thrown;
  const cause = new Error(redact(String(error.message ?? '')));
  cause.name = String(error.name ?? 'Error');
  const { text, ...known } = failure;
  // PAI's own words stand in these two as well, and a gateway may put anything there.
  const told = {
    paiCode: known.paiCode && redact(known.paiCode),
    requestId: known.requestId && redact(known.requestId),
  };
  const details = omitUndefined({ action, ...known, ...told });
  return new PaiError(code, redact(messageOf(action, code, failure)), details, { cause });
}

function readFailure(error: AcsFailure): Failure {
  const body = (typeof error.data === 'object' && error.data !== null ? error.data : {}) as Record<string, unknown>;
  const status = typeof error.statusCode === 'number' ? error.statusCode : undefined;
  const code = meaningful(body.Code ?? body.code ?? error.code);
  const text = meaningful(body.Message ?? body.message) ?? meaningful(error.message) ?? 'no message';
  return omitUndefined({
    status,
    paiCode: status === undefined ? undefined : code,
    requestId: meaningful(body.RequestId ?? body.requestId ?? error.requestId),
    retryAfterMs: typeof error.retryAfter === 'number' && error.retryAfter >= 0 ? error.retryAfter : undefined,
    systemCode: status === undefined ? code : undefined,
    text,
  });
}

/** The core client writes an absent field as the text "undefined". */
function meaningful(value: unknown): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  return value === '' || value === 'undefined' || value === 'null' ? undefined : String(value);
}

function classify(error: AcsFailure, { status, paiCode = '', systemCode }: Failure): ErrorCode | undefined {
  // JSON.parse of an HTML page or of nothing: a gateway answered in PAI's place, whatever the status was.
  if (error.name === 'SyntaxError') return 'CPT_PAI_UNAVAILABLE';
  if (error.name === 'RequestTimeoutError' || systemCode === 'ETIMEDOUT') return 'CPT_PAI_TIMEOUT';
  if (status === undefined) return systemCode === undefined ? undefined : 'CPT_PAI_UNAVAILABLE';
  if (paiCode.includes('Throttling') || status === 429) return 'CPT_PAI_THROTTLED';
  // Before 404: an unknown access key is "InvalidAccessKeyId.NotFound" with status 404.
  if (CREDENTIAL_CODES.test(paiCode) || status === 401) return 'CPT_PAI_SIGNATURE';
  if (status === 408) return 'CPT_PAI_TIMEOUT';
  if (status >= 500) return 'CPT_PAI_UNAVAILABLE';
  if (status === 403 || /Forbidden|NoPermission|AccessDenied/.test(paiCode)) return 'CPT_PAI_FORBIDDEN';
  // An unknown operation is also a 404, and no missing job.
  if (/^Invalid(Action|Api)/.test(paiCode)) return 'CPT_PAI_REJECTED';
  if (status === 404 || /NotExist|NotFound/.test(paiCode)) return 'CPT_PAI_NOT_FOUND';
  return 'CPT_PAI_REJECTED';
}

function messageOf(action: string, code: ErrorCode, failure: Failure): string {
  const { status, paiCode, requestId, systemCode, text } = failure;
  const answer = [status, paiCode].filter((part) => part !== undefined).join(' ');
  const what = answer ? `PAI answered ${answer}: ${text}` : `no answer from PAI: ${networkText(text, systemCode)}`;
  const reference = requestId ? ` (request ${requestId})` : '';
  const advice = ADVICE[code];
  return `${action}: ${what.replaceAll(/\s+/g, ' ').trim()}${reference}${advice ? `; ${advice}` : ''}`;
}

/** The client puts the request's method and URL behind the system's text without a space; the action says as much. */
function networkText(text: string, systemCode = ''): string {
  const plain = text.replace(/\.?\s*(?:GET|POST|PUT|DELETE) https?:\S+ failed\.$/, '');
  return plain.includes(systemCode) ? plain : `${systemCode} ${plain}`;
}

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { ApiError } from './api-error.ts';

/** A request as it came over the wire; `headers` are name, value, name, value (Node's `rawHeaders`). */
export interface WireRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: Uint8Array;
}

/** A key pair; with `securityToken` it is a temporary (STS) one, which must come with exactly that token. */
export interface AccessKey {
  readonly secret: string;
  readonly securityToken?: string;
  /** Actions that it may not call, such as CreateJob. */
  readonly denies?: readonly string[];
}

const ALGORITHM = 'ACS3-HMAC-SHA256';
const MAX_SKEW_MS = 15 * 60_000;
const REQUIRED_HEADERS = [
  'x-acs-action',
  'x-acs-version',
  'x-acs-date',
  'x-acs-signature-nonce',
  'x-acs-content-sha256',
];

/**
 * A function that checks ACS3-HMAC-SHA256 signatures and returns the access key id that signed. It works from the raw
 * wire and shares no code with a client, so that it can disagree with one. It remembers nonces for as long as their date
 * is acceptable.
 * @throws ApiError `IncompleteSignature`, `MissingParameter`, `InvalidAccessKeyId.NotFound`, `MissingSecurityToken`,
 *   `InvalidSecurityToken.MismatchWithAccessKey`, `InvalidTimeStamp.Format`, `InvalidTimeStamp.Expired`,
 *   `SignatureDoesNotMatch`, `SignatureNonceUsed`
 */
export function signatureVerifier(accessKeys: ReadonlyMap<string, AccessKey>, now: () => number) {
  const nonces = new Map<string, number>();
  return function verify(request: WireRequest): string {
    const headers = singleHeaders(request.headers);
    const { accessKeyId, signedNames, signature } = parseAuthorization(headers.get('authorization'));
    checkSignedNames(headers, signedNames);
    const key = accessKeys.get(accessKeyId);
    if (!key) throw new ApiError(404, 'InvalidAccessKeyId.NotFound', 'Specified access key is not found.');
    checkSecurityToken(headers, accessKeyId, key);
    checkDate(headers.get('x-acs-date') as string, now());
    checkSignature(request, headers, signedNames, key.secret, signature);
    useNonce(nonces, `${accessKeyId} ${headers.get('x-acs-signature-nonce')}`, now());
    return accessKeyId;
  };
}

const incomplete = (why: string): ApiError =>
  new ApiError(400, 'IncompleteSignature', `The request signature does not conform to Aliyun standards: ${why}.`);

/** Headers by lower-case name. A repeated `x-acs-*`, host or authorization header has no one value to sign. */
function singleHeaders(raw: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase();
    if (headers.has(name) && (mustBeSigned(name) || name === 'authorization')) {
      throw incomplete(`the header ${name} is there twice`);
    }
    headers.set(name, raw[i + 1] as string);
  }
  return headers;
}

function mustBeSigned(name: string): boolean {
  return name === 'host' || name === 'content-type' || name.startsWith('x-acs-');
}

function parseAuthorization(value: string | undefined) {
  if (value === undefined) throw incomplete('there is no Authorization header');
  const match = /^ACS3-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$/.exec(
    value,
  );
  if (!match)
    throw incomplete(`the Authorization header is not "${ALGORITHM} Credential=…,SignedHeaders=…,Signature=…"`);
  const [, accessKeyId = '', names = '', signature = ''] = match;
  return { accessKeyId, signedNames: names.split(';'), signature: Buffer.from(signature, 'hex') };
}

/** Whatever steers the request must be under the signature: a header that is not could be changed on the way. */
function checkSignedNames(headers: ReadonlyMap<string, string>, names: readonly string[]): void {
  const sorted = [...new Set(names)].sort();
  if (sorted.join(';') !== names.join(';')) throw incomplete('SignedHeaders are not sorted, or repeat a name');
  for (const name of REQUIRED_HEADERS) {
    if (!headers.get(name)) throw new ApiError(400, 'MissingParameter', `The header ${name} is required.`);
  }
  for (const name of headers.keys()) {
    if (mustBeSigned(name) && !names.includes(name)) throw incomplete(`the header ${name} is not signed`);
  }
  for (const name of names) {
    if (!headers.has(name)) throw incomplete(`the signed header ${name} is not in the request`);
  }
}

function checkSecurityToken(headers: ReadonlyMap<string, string>, accessKeyId: string, key: AccessKey): void {
  const token = headers.get('x-acs-security-token');
  if (key.securityToken !== undefined && token === undefined) {
    throw new ApiError(400, 'MissingSecurityToken', 'SecurityToken is mandatory for this action.');
  }
  const named = headers.get('x-acs-accesskey-id') ?? accessKeyId;
  if (token === key.securityToken && named === accessKeyId) return;
  throw new ApiError(
    400,
    'InvalidSecurityToken.MismatchWithAccessKey',
    'Specified SecurityToken mismatch with the AccessKey.',
  );
}

function checkDate(date: string, now: number): void {
  const isWellFormed = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(date) && !Number.isNaN(Date.parse(date));
  if (!isWellFormed) {
    throw new ApiError(400, 'InvalidTimeStamp.Format', `x-acs-date is "${date}", not YYYY-MM-DDThh:mm:ssZ.`);
  }
  const skewMs = Date.parse(date) - now;
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return;
  const minutes = Math.round(skewMs / 60_000);
  throw new ApiError(
    400,
    'InvalidTimeStamp.Expired',
    `x-acs-date is ${minutes} minutes from the server's time; 15 at most.`,
  );
}

function checkSignature(
  request: WireRequest,
  headers: ReadonlyMap<string, string>,
  signedNames: readonly string[],
  secret: string,
  signature: Uint8Array,
): void {
  const bodyHash = sha256(request.body);
  if (headers.get('x-acs-content-sha256') !== bodyHash) {
    throw mismatch(
      `x-acs-content-sha256 is not the hash of the ${request.body.byteLength} bytes received, ${bodyHash}`,
    );
  }
  const [path = '/', rawQuery = ''] = splitOnce(request.url, '?');
  const canonical = [
    request.method,
    path.replaceAll('+', '%20').replaceAll('*', '%2A').replaceAll('%7E', '~'),
    canonicalQuery(rawQuery),
    signedNames.map((name) => `${name}:${(headers.get(name) as string).trim()}\n`).join(''),
    signedNames.join(';'),
    bodyHash,
  ].join('\n');
  const expected = createHmac('sha256', secret)
    .update(`${ALGORITHM}\n${sha256(canonical)}`)
    .digest();
  if (timingSafeEqual(expected, signature)) return;
  const shown = canonical.replace(/^(x-acs-security-token:).*$/m, '$1***');
  throw mismatch(`the server's canonical request is ${JSON.stringify(shown)}`);
}

const mismatch = (why: string): ApiError =>
  new ApiError(400, 'SignatureDoesNotMatch', `Specified signature is not matched with our calculation: ${why}.`);

/** Pairs of the query, decoded. A `%` that starts no byte, or bytes that are no UTF-8, refuse the request. */
export function parseQuery(rawQuery: string): [string, string][] {
  const pairs = rawQuery.split('&').filter((pair) => pair !== '');
  try {
    return pairs.map((pair) => {
      const [name = '', value = ''] = splitOnce(pair, '=');
      return [decodeForm(name), decodeForm(value)];
    });
  } catch {
    throw new ApiError(400, 'InvalidParameter', `The query "${rawQuery}" is not percent-encoded UTF-8.`);
  }
}

/** Clients leave `! ' ( ) *` raw in the URL and encode them in what they sign, so the raw query proves nothing. */
function canonicalQuery(rawQuery: string): string {
  return parseQuery(rawQuery)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${encodeRfc3986(name)}=${encodeRfc3986(value)}`)
    .join('&');
}

function encodeRfc3986(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function decodeForm(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}

export function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}

function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** A nonce outlives the acceptance of its own date by being kept for twice the skew: dates may lie in the future. */
function useNonce(nonces: Map<string, number>, nonce: string, now: number): void {
  for (const [old, at] of nonces) {
    if (now - at <= 2 * MAX_SKEW_MS) break; // in order of arrival: the rest is younger
    nonces.delete(old);
  }
  if (nonces.has(nonce)) throw new ApiError(400, 'SignatureNonceUsed', 'Specified signature nonce was used already.');
  nonces.set(nonce, now);
}

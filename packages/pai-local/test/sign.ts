import { createHash, createHmac, randomBytes } from 'node:crypto';

/** What a client is about to send. */
export interface Unsigned {
  method: string;
  path: string;
  /** The path as it is signed, where that is not the path as it is sent. */
  canonicalPath?: string;
  query?: Record<string, string>;
  body?: string;
  host: string;
  action: string;
  version: string;
}

export interface Signer {
  id: string;
  secret: string;
  securityToken?: string;
  /** What x-acs-accesskey-id says where it is not `id`. */
  claimedId?: string;
  /** Defaults to now. */
  date?: number;
  nonce?: string;
}

const hex = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

/** RFC 3986 from its table of unreserved bytes, not from encodeURIComponent as the verifier does it. */
function percentEncode(text: string): string {
  return [...Buffer.from(text, 'utf8')]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      return /[A-Za-z0-9\-._~]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

/**
 * An ACS3-HMAC-SHA256 signature written from its description, apart from the code under test. The URL gets the query in
 * the order given and fully encoded; what is signed has it sorted.
 */
export function sign(request: Unsigned, signer: Signer): { url: string; headers: [string, string][]; body: string } {
  const { method, path, query = {}, body = '' } = request;
  const headers: [string, string][] = [
    ['Host', request.host],
    ['x-acs-action', request.action],
    ['x-acs-version', request.version],
    ['x-acs-date', new Date(signer.date ?? Date.now()).toISOString().replace(/\.\d{3}Z$/, 'Z')],
    ['x-acs-signature-nonce', signer.nonce ?? randomBytes(16).toString('hex')],
    ['x-acs-content-sha256', hex(body)],
  ];
  if (body !== '') headers.push(['Content-Type', 'application/json; charset=utf-8']);
  if (signer.securityToken) {
    headers.push(['x-acs-accesskey-id', signer.claimedId ?? signer.id], ['x-acs-security-token', signer.securityToken]);
  }
  const signed = headers
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const names = signed.map(([name]) => name).join(';');
  const pairs = Object.entries(query).map(([name, value]) => [name, percentEncode(value)] as const);
  const sorted = [...pairs].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const join = (list: (readonly [string, string])[]) =>
    list.map(([name, value]) => `${percentEncode(name)}=${value}`).join('&');
  const lines = signed.map(([name, value]) => `${name}:${value}\n`).join('');
  const canonical = `${method}\n${request.canonicalPath ?? path}\n${join(sorted)}\n${lines}\n${names}\n${hex(body)}`;
  const signature = createHmac('sha256', signer.secret)
    .update(`ACS3-HMAC-SHA256\n${hex(canonical)}`)
    .digest('hex');
  const authorization = `ACS3-HMAC-SHA256 Credential=${signer.id},SignedHeaders=${names},Signature=${signature}`;
  return {
    url: pairs.length > 0 ? `${path}?${join(pairs)}` : path,
    headers: [...headers, ['Authorization', authorization]],
    body,
  };
}

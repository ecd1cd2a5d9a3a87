import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as it came over the wire, with what an independent check of its ACS3 signature says. */
export interface SeenRequest {
  readonly method: string;
  /** As sent, with the query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** `undefined` when the signature is right, else what is wrong with it. */
  readonly signatureFault: string | undefined;
}

export type Reply =
  | { status?: number; json?: unknown; headers?: Record<string, string> }
  | { status?: number; raw: string; headers?: Record<string, string> }
  | { hang: true }
  | { reset: true };

export interface AcsServer {
  readonly url: string;
  readonly seen: SeenRequest[];
  /** Sockets that clients hold open. */
  connections(): Promise<number>;
  close(): Promise<void>;
}

export interface AcsKeys {
  /** Access key id → secret. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly securityToken?: string;
}

/** A server that answers what `reply` says and records every request, signed or not. */
export async function startAcsServer(
  keys: AcsKeys,
  reply: (request: SeenRequest, index: number) => Reply,
): Promise<AcsServer> {
  const seen: SeenRequest[] = [];
  const nonces = new Set<string>();
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const { method = '', url = '', headers } = incoming;
    const signatureFault = checkSignature({ method, url, headers, body }, keys, nonces);
    const request = { method, url, headers, body: body.toString('utf8'), signatureFault };
    seen.push(request);
    answer(response, reply(request, seen.length - 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    connections: () =>
      new Promise((resolve, reject) =>
        server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      ),
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function answer(response: ServerResponse, reply: Reply): void {
  if ('hang' in reply) return;
  if ('reset' in reply) {
    response.socket?.destroy();
    return;
  }
  const text = 'raw' in reply ? reply.raw : JSON.stringify(reply.json ?? { RequestId: 'R-1' });
  response.writeHead(reply.status ?? 200, { 'content-type': 'application/json;charset=utf-8', ...reply.headers });
  response.end(text);
}

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

const rfc3986 = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** ACS3-HMAC-SHA256, from the description in Alibaba Cloud's documentation; shares nothing with the client. */
function checkSignature(
  request: { method: string; url: string; headers: IncomingHttpHeaders; body: Buffer },
  keys: AcsKeys,
  nonces: Set<string>,
): string | undefined {
  const { method, url, headers, body } = request;
  const header = (name: string): string => String(headers[name] ?? '').trim();
  const found = /^ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]{64})$/.exec(
    header('authorization'),
  );
  if (!found) return `authorization is "${header('authorization')}"`;
  const [, keyId = '', signedHeaders = '', signature] = found;
  const secret = keys.secrets[keyId];
  if (secret === undefined) return `unknown access key ${keyId}`;

  const payloadHash = sha256(body);
  if (header('x-acs-content-sha256') !== payloadHash) return 'x-acs-content-sha256 is not the hash of the body';
  if (Math.abs(Date.now() - Date.parse(header('x-acs-date'))) > 15 * 60_000) return 'x-acs-date is off';
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(header('x-acs-date'))) return 'x-acs-date is not ISO 8601 in seconds';
  const nonce = header('x-acs-signature-nonce');
  if (nonce === '' || nonces.has(nonce)) return 'x-acs-signature-nonce is missing or was used before';
  nonces.add(nonce);
  if (keys.securityToken !== undefined && header('x-acs-security-token') !== keys.securityToken)
    return 'wrong STS token';

  const names = signedHeaders.split(';');
  if (names.join() !== [...names].sort().join()) return 'signed headers are not sorted';
  const mustSign = Object.keys(headers).filter(
    (name) => name === 'host' || name === 'content-type' || name.startsWith('x-acs-'),
  );
  const unsigned = mustSign.filter((name) => !names.includes(name));
  if (unsigned.length > 0) return `not signed: ${unsigned.join()}`;

  const [path = '', query = ''] = url.split('?');
  const pairs = query === '' ? [] : query.split('&').map((pair) => pair.split('=') as [string, string?]);
  const decode = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '));
  const canonicalQuery = pairs
    .map(([name, value = '']) => [decode(name), decode(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${rfc3986(name)}=${rfc3986(value)}`)
    .join('&');
  const canonical = [
    method,
    path.replaceAll('+', '%20').replaceAll('*', '%2A').replaceAll('%7E', '~'),
    canonicalQuery,
    names.map((name) => `${name}:${header(name)}\n`).join(''),
    signedHeaders,
    payloadHash,
  ].join('\n');
  const expected = createHmac('sha256', secret)
    .update(`ACS3-HMAC-SHA256\n${sha256(canonical)}`)
    .digest('hex');
  return expected === signature ? undefined : 'the signature differs';
}

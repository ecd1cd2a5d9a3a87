import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPaiTransport, type PaiInput, type PaiTransport } from '../src/pai-transport.ts';
import { PAI_OPERATIONS, type PaiAction } from '../src/pai-wire.ts';
import { type AcsServer, startAcsServer } from './acs-server.ts';
import { WIRE_REQUESTS } from './wire-requests.ts';

const KEY = { accessKeyId: 'wire-id', accessKeySecret: 'wire-secret' };
let server: AcsServer;
let pai: PaiTransport;
beforeAll(async () => {
  server = await startAcsServer({ secrets: { 'wire-id': 'wire-secret' } }, () => ({ json: { RequestId: 'R' } }));
  pai = createPaiTransport({ regionId: 'cn-hangzhou', endpoint: server.url, credential: KEY });
});
afterAll(() => server.close());

const inUse = WIRE_REQUESTS.filter(({ action }) => action in PAI_OPERATIONS);

it('has a row for every operation in use', () => {
  const rows = new Set(WIRE_REQUESTS.map(({ action }) => action));
  expect(Object.keys(PAI_OPERATIONS).filter((action) => !rows.has(action))).toEqual([]);
});

describe.each(inUse)('$action', ({ action, version, input, request, body }) => {
  it('is the request that PAI documents', async () => {
    const before = server.seen.length;
    await pai.call(action as PaiAction, input as unknown as PaiInput<PaiAction>);
    expect(server.seen).toHaveLength(before + 1);
    const seen = server.seen.at(-1);
    if (!seen) throw new Error('nothing was sent');
    expect(seen.signatureFault).toBeUndefined();
    const [path = '', query] = seen.url.split('?');
    const pairs = [...new URLSearchParams(query)].map((pair) => pair.join('=')).sort();
    expect(`${seen.method} ${path}${pairs.length > 0 ? `?${pairs.join('&')}` : ''}`).toBe(request);
    expect(seen.headers).toMatchObject({ 'x-acs-action': action, 'x-acs-version': version });
    expect(seen.body === '' ? undefined : JSON.parse(seen.body)).toEqual(body);
    if (body !== undefined) expect(seen.headers['content-type']).toBe('application/json; charset=utf-8');
  });
});

it('repeats no creation by itself, and whatever does no more when done twice', () => {
  const once = Object.entries(PAI_OPERATIONS).flatMap(([action, { isIdempotent }]) => (isIdempotent ? [] : [action]));
  // Creates have no client token; what else is made once more is a second one of its kind.
  expect(once.filter((action) => !/^Create/.test(action))).toEqual([]);
  for (const action of Object.keys(PAI_OPERATIONS).filter((name) => /^Create/.test(name))) {
    if (!/^CreateService(Auto|Cron)Scaler$/.test(action)) expect(once).toContain(action);
  }
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Signer, sign, type Unsigned } from '../test/sign.ts';
import { type AccessKey, signatureVerifier, type WireRequest } from './signature.ts';

const NOW = Date.UTC(2026, 10, 24, 12, 0, 0);
const MINUTE = 60_000;
const KEYS = new Map<string, AccessKey>([
  ['testid', { secret: 'testsecret' }],
  ['other', { secret: 'othersecret' }],
  ['STS.x', { secret: 'stssecret', securityToken: 'testtoken' }],
]);
const SIGNER: Signer = { id: 'testid', secret: 'testsecret', date: NOW };
const REQUEST: Unsigned = {
  method: 'POST',
  path: '/api/v1/jobs',
  query: { DisplayName: 'a b', Tags: '{"a":"b"}' },
  body: '{"DisplayName":"é"}',
  host: '127.0.0.1:1234',
  action: 'CreateJob',
  version: '2020-12-03',
};

function wire(request: Unsigned = REQUEST, signer: Signer = SIGNER): WireRequest {
  const { url, headers, body } = sign(request, signer);
  return { method: request.method, url, headers: headers.flat(), body: Buffer.from(body) };
}

/** The same request with one header given another value, or, without a value, left out. */
function withHeader(request: WireRequest, name: string, value?: string): WireRequest {
  const headers: string[] = [];
  for (let i = 0; i < request.headers.length; i += 2) {
    if (request.headers[i]?.toLowerCase() !== name) headers.push(...request.headers.slice(i, i + 2));
  }
  return { ...request, headers: value === undefined ? headers : [...headers, name, value] };
}

const verify = (request: WireRequest, now = NOW) => signatureVerifier(KEYS, () => now)(request);
const refusal = (code: string) => expect.objectContaining({ code });

describe('requests captured from @alicloud/openapi-core 1.0.8', () => {
  const path = join(import.meta.dirname, '../../../fixtures/pai-local/signed-requests.json');
  const captured = (
    JSON.parse(readFileSync(path, 'utf8')) as { method: string; url: string; rawHeaders: string[]; body: string }[]
  ).map((request) => ({ ...request, headers: request.rawHeaders, body: Buffer.from(request.body) }));
  const keys = new Map([['testid', { secret: 'testsecret' }]]);
  const temporaryKeys = new Map([['testid', { secret: 'testsecret', securityToken: 'testtoken' }]]);

  it.each(captured.map((request) => [`${request.method} ${request.url}`, request] as const))(
    '%s verifies',
    (_, request) => {
      const date = Date.parse(request.headers[request.headers.indexOf('x-acs-date') + 1] as string);
      const isTemporary = request.headers.includes('x-acs-security-token');
      const check = (one: WireRequest) => signatureVerifier(isTemporary ? temporaryKeys : keys, () => date)(one);
      expect(check(request)).toBe('testid');

      expect(() => check({ ...request, method: 'PUT' })).toThrow(refusal('SignatureDoesNotMatch'));
      expect(() => check({ ...request, url: `${request.url}x` })).toThrow(refusal('SignatureDoesNotMatch'));
      expect(() => check({ ...request, body: Buffer.from('{}') })).toThrow(refusal('SignatureDoesNotMatch'));
      expect(() => check(withHeader(request, 'x-acs-action', 'DeleteJob'))).toThrow(refusal('SignatureDoesNotMatch'));
      expect(() => check(withHeader(request, 'host', 'pai-dlc.example'))).toThrow(refusal('SignatureDoesNotMatch'));
    },
  );
});

describe('a signature made in another way', () => {
  it('verifies for any query and body, whatever their characters', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.stringMatching(/^[A-Za-z]{1,8}$/), fc.string({ unit: 'binary' }).filter(isWellFormed)),
        fc.string({ unit: 'binary' }).filter(isWellFormed),
        (query, body) => {
          expect(verify(wire({ ...REQUEST, query, body }))).toBe('testid');
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each([
    ['/api/v1/jobs/a+b', '/api/v1/jobs/a%20b'],
    ['/api/v1/jobs/a*b', '/api/v1/jobs/a%2Ab'],
    ['/api/v1/jobs/a%7Eb', '/api/v1/jobs/a~b'],
    ['/api/v1/jobs/a%2Fb', '/api/v1/jobs/a%2Fb'],
  ])('signs the path %s as %s', (path, canonicalPath) => {
    expect(verify(wire({ ...REQUEST, path, canonicalPath }))).toBe('testid');
  });

  it('is told from that of another key', () => {
    expect(verify(wire(REQUEST, { ...SIGNER, id: 'other', secret: 'othersecret' }))).toBe('other');
    expect(() => verify(wire(REQUEST, { ...SIGNER, secret: 'othersecret' }))).toThrow(refusal('SignatureDoesNotMatch'));
    expect(() => verify(wire(REQUEST, { ...SIGNER, id: 'nobody' }))).toThrow(
      expect.objectContaining({ code: 'InvalidAccessKeyId.NotFound', status: 404 }),
    );
  });

  it('covers what steers the request', () => {
    const request = wire();
    const hash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    expect(() => verify({ ...request, body: Buffer.from('{"DisplayName":"e"}') })).toThrow(
      refusal('SignatureDoesNotMatch'),
    );
    expect(() => verify(withHeader({ ...request, body: Buffer.of() }, 'x-acs-content-sha256', hash))).toThrow(
      refusal('SignatureDoesNotMatch'),
    );
    expect(() => verify({ ...request, url: request.url.replace('a%20b', 'a%20c') })).toThrow(
      refusal('SignatureDoesNotMatch'),
    );
    expect(() => verify({ ...request, url: request.url.replace('a%20b', 'a+b') })).not.toThrow();
    expect(() => verify({ ...request, url: `${request.url}%zz` })).toThrow(refusal('InvalidParameter'));
  });
});

describe('signed headers', () => {
  it.each(['x-acs-extra', 'x-acs-security-token', 'x-acs-retry-attempts'])(
    'must include %s when it is sent',
    (name) => {
      expect(() => verify(withHeader(wire(), name, '1'))).toThrow(refusal('IncompleteSignature'));
    },
  );

  it.each(['host', 'content-type', 'x-acs-action'])('may not leave out %s', (name) => {
    const request = wire();
    const at = request.headers.indexOf('Authorization') + 1;
    const headers = request.headers.with(at, (request.headers[at] as string).replace(new RegExp(`${name};`), ''));
    expect(() => verify({ ...request, headers })).toThrow(refusal('IncompleteSignature'));
  });

  it('must be in the request, once and sorted', () => {
    const request = wire();
    expect(() => verify(withHeader(request, 'content-type'))).toThrow(refusal('IncompleteSignature'));
    expect(() => verify({ ...request, headers: [...request.headers, 'X-Acs-Action', 'CreateJob'] })).toThrow(
      refusal('IncompleteSignature'),
    );
    const at = request.headers.indexOf('Authorization') + 1;
    const swapped = (request.headers[at] as string).replace('content-type;host', 'host;content-type');
    expect(() => verify({ ...request, headers: request.headers.with(at, swapped) })).toThrow(
      refusal('IncompleteSignature'),
    );
  });

  it.each(['x-acs-date', 'x-acs-signature-nonce', 'x-acs-content-sha256', 'x-acs-version'])(
    '%s is required',
    (name) => {
      expect(() => verify(withHeader(wire(), name))).toThrow(refusal('MissingParameter'));
    },
  );

  it('are named by an Authorization header of the right form', () => {
    expect(() => verify(withHeader(wire(), 'authorization'))).toThrow(refusal('IncompleteSignature'));
    expect(() => verify(withHeader(wire(), 'authorization', 'Bearer x'))).toThrow(refusal('IncompleteSignature'));
  });
});

describe('the date', () => {
  it('may be fifteen minutes off, either way, and no second more', () => {
    for (const sign of [1, -1]) {
      expect(verify(wire(REQUEST, { ...SIGNER, date: NOW + sign * 15 * MINUTE }))).toBe('testid');
      expect(() => verify(wire(REQUEST, { ...SIGNER, date: NOW + sign * (15 * MINUTE + 1000) }))).toThrow(
        refusal('InvalidTimeStamp.Expired'),
      );
    }
  });

  it.each([
    '2026-11-24 12:00:00',
    'Tue, 24 Nov 2026 12:00:00 GMT',
    '2026-11-24T12:00:00+00:00',
    '2026-99-24T12:00:00Z',
  ])('is not %s', (date) => {
    expect(() => verify(withHeader(wire(), 'x-acs-date', date))).toThrow(refusal('InvalidTimeStamp.Format'));
  });
});

describe('the nonce', () => {
  it('is good once, for as long as its date is', () => {
    let now = NOW;
    const check = signatureVerifier(KEYS, () => now);
    const request = wire(REQUEST, { ...SIGNER, nonce: 'n', date: NOW + 15 * MINUTE });
    expect(check(request)).toBe('testid');
    expect(() => check(request)).toThrow(refusal('SignatureNonceUsed'));
    now += 30 * MINUTE;
    expect(() => check(request)).toThrow(refusal('SignatureNonceUsed'));
    now += 1;
    expect(check(wire(REQUEST, { ...SIGNER, nonce: 'n', date: now }))).toBe('testid');
  });

  it('is not used up by a request that is refused, nor shared between keys', () => {
    const check = signatureVerifier(KEYS, () => NOW);
    const nonce = 'n';
    expect(() => check(wire(REQUEST, { ...SIGNER, nonce, secret: 'wrong' }))).toThrow();
    expect(check(wire(REQUEST, { ...SIGNER, nonce }))).toBe('testid');
    expect(check(wire(REQUEST, { id: 'other', secret: 'othersecret', date: NOW, nonce }))).toBe('other');
  });
});

describe('a temporary key', () => {
  const temporary: Signer = { id: 'STS.x', secret: 'stssecret', date: NOW };

  it('comes with its token', () => {
    expect(verify(wire(REQUEST, { ...temporary, securityToken: 'testtoken' }))).toBe('STS.x');
    expect(() => verify(wire(REQUEST, { ...temporary, securityToken: 'testtoken', claimedId: 'testid' }))).toThrow(
      refusal('InvalidSecurityToken.MismatchWithAccessKey'),
    );
    expect(() => verify(wire(REQUEST, temporary))).toThrow(refusal('MissingSecurityToken'));
    expect(() => verify(wire(REQUEST, { ...temporary, securityToken: 'stale' }))).toThrow(
      refusal('InvalidSecurityToken.MismatchWithAccessKey'),
    );
  });

  it('is the only kind that has one', () => {
    expect(() => verify(wire(REQUEST, { ...SIGNER, securityToken: 'testtoken' }))).toThrow(
      refusal('InvalidSecurityToken.MismatchWithAccessKey'),
    );
  });

  it('does not put its token into a refusal', () => {
    const request = wire(REQUEST, { ...temporary, secret: 'wrong', securityToken: 'testtoken' });
    expect(() => verify(request)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('testtoken') }),
    );
  });
});

/** Text with lone surrogates has no UTF-8 and so no signature. */
function isWellFormed(text: string): boolean {
  return Buffer.from(text, 'utf8').toString('utf8') === text;
}

import { expect, it } from 'vitest';
import { createRedactor } from './redact.ts';

it('replaces what it has learnt, the longest first', () => {
  const redactor = createRedactor();
  redactor.learn('secret', 'secret-and-more', undefined, '');
  redactor.learn('token$&1');
  expect(redactor.redact('a secret, a secret-and-more, a token$&1')).toBe('a ***, a ***, a ***');
});

it('replaces key ids, tokens and signatures that it never saw', () => {
  const { redact } = createRedactor();
  const text = [
    'AccessKeyId LTAI5tFooBarBaz0123 not found',
    'x-acs-security-token:CAISabc/def+ghi==',
    'Authorization: ACS3-HMAC-SHA256 Credential=AKID,SignedHeaders=host,Signature=deadbeef',
    'Signature=0123abcd',
  ].join('\n');
  const hidden = redact(text);
  for (const secret of ['LTAI5tFooBarBaz0123', 'CAISabc', 'AKID', 'deadbeef', '0123abcd']) {
    expect(hidden).not.toContain(secret);
  }
  expect(hidden).toContain('not found');
});

it('leaves ordinary text alone', () => {
  const redactor = createRedactor();
  redactor.learn('abc'); // too short to be a secret: it would be found inside words
  const text = 'the signature of dlc1abc differs; check LTA and Signature';
  expect(redactor.redact(text)).toBe(text);
});

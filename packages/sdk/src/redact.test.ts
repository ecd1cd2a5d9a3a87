import { expect, it } from 'vitest';
import { createRedactor, secretsIn } from './redact.ts';

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

it('replaces the password of a URL and a bearer token', () => {
  const { redact } = createRedactor();
  expect(redact('git clone https://me:hunter22@git.example/x')).toBe('git clone https://me:***@git.example/x');
  expect(redact('with Bearer eyJhbGciOi.J9')).toBe('with Bearer ***');
});

it('row 56: finds the secrets of an environment in the body of a request, by their names', () => {
  const body = {
    ...{ DisplayName: 'cpt', UserCommand: 'true', Settings: { Tags: { cpt_key: 'plain' } } },
    Envs: { HF_TOKEN: 'canary-1', OMP_NUM_THREADS: '8', DB_PASSWORD: 'canary-2', NCCL_DEBUG: 'INFO' },
    HyperParameters: [{ Name: 'train_tokens', Value: '1638400' }],
    containers: [{ env: [{ name: 'API_KEY', value: 'canary-3' }] }],
  };
  expect(secretsIn(body)).toEqual(['canary-1', 'canary-2', 'canary-3']);
  for (const nothing of [undefined, null, 'text', 5]) expect(secretsIn(nothing)).toEqual([]);
});

import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { toPaiError } from './pai-errors.ts';

const asIs = (text: string) => text;
const convert = (thrown: unknown) => {
  const error = toPaiError('GetJob', thrown, asIs);
  if (!CptError.isInstance(error)) throw new Error('not an error of ours');
  return error;
};

describe('toPaiError', () => {
  // Codes and statuses of the platform, as pai-api.md §1 and §4 list them.
  it.each([
    ['CPT_PAI_THROTTLED', 400, 'Throttling.User'],
    ['CPT_PAI_THROTTLED', 429, 'Throttling.Api'],
    ['CPT_PAI_THROTTLED', 503, 'Throttling'],
    ['CPT_PAI_SIGNATURE', 400, 'SignatureDoesNotMatch'],
    ['CPT_PAI_SIGNATURE', 404, 'InvalidAccessKeyId.NotFound'],
    ['CPT_PAI_SIGNATURE', 400, 'InvalidAccessKeyId.Inactive'],
    ['CPT_PAI_SIGNATURE', 400, 'InvalidTimeStamp.Expired'],
    ['CPT_PAI_SIGNATURE', 400, 'SignatureNonceUsed'],
    ['CPT_PAI_SIGNATURE', 403, 'InvalidSecurityToken.Expired'],
    ['CPT_PAI_FORBIDDEN', 403, 'Forbidden'],
    ['CPT_PAI_FORBIDDEN', 403, 'NoPermission'],
    ['CPT_PAI_NOT_FOUND', 404, 'JobNotExists'],
    ['CPT_PAI_NOT_FOUND', 400, 'Service.NotFound'],
    ['CPT_PAI_REJECTED', 404, 'InvalidAction.NotFound'],
    ['CPT_PAI_REJECTED', 404, 'InvalidApi.NotFound'],
    ['CPT_PAI_REJECTED', 400, 'InvalidParameter'],
    ['CPT_PAI_REJECTED', 400, 'MissingParameter'],
    ['CPT_PAI_UNAVAILABLE', 500, 'InternalError'],
    ['CPT_PAI_UNAVAILABLE', 503, 'ServiceUnavailable'],
    ['CPT_PAI_TIMEOUT', 408, 'RequestTimeout'],
  ])('is %s for status %i with code %s', (code, statusCode, paiCode) => {
    const data = { Code: paiCode, Message: 'text of PAI', RequestId: 'R-1' };
    const error = convert({ statusCode, code: paiCode, message: 'of the client', data });
    expect(error.code).toBe(code);
    expect(error.details).toEqual({ action: 'GetJob', status: statusCode, paiCode, requestId: 'R-1' });
    expect(error.message).toContain(`GetJob: PAI answered ${statusCode} ${paiCode}: text of PAI (request R-1)`);
    expect((error.cause as Error).message).toBe('of the client');
  });

  it.each(['ECONNRESET', 'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'CERT_HAS_EXPIRED'])(
    'is an outage for %s',
    (code) => {
      const error = convert(Object.assign(new Error('no way through'), { code }));
      expect([error.code, error.details.systemCode]).toEqual(['CPT_PAI_UNAVAILABLE', code]);
      expect(error.details).not.toHaveProperty('status');
    },
  );

  it('tells a network failure without what the client adds to it', () => {
    const text = 'connect ECONNREFUSED 127.0.0.1:9GET http://127.0.0.1:9/api/v1/jobs/x failed.';
    expect(convert(Object.assign(new Error(text), { code: 'ECONNREFUSED' })).message).toBe(
      'GetJob: no answer from PAI: connect ECONNREFUSED 127.0.0.1:9',
    );
    expect(convert(Object.assign(new Error('aborted'), { code: 'ECONNRESET' })).message).toContain(
      'ECONNRESET aborted',
    );
  });

  it('is a timeout for the client’s RequestTimeoutError', () => {
    expect(convert(Object.assign(new Error('ReadTimeout(30000)'), { name: 'RequestTimeoutError' })).code).toBe(
      'CPT_PAI_TIMEOUT',
    );
  });

  it('drops what the client writes for an absent field', () => {
    const error = convert({ statusCode: 500, code: 'undefined', requestId: 'undefined', message: 'm', data: {} });
    expect(error.details).toEqual({ action: 'GetJob', status: 500 });
  });

  it('keeps the wait that PAI asks for', () => {
    expect(convert({ statusCode: 429, code: 'Throttling', retryAfter: 400 }).details.retryAfterMs).toBe(400);
    expect(convert({ statusCode: 429, code: 'Throttling', retryAfter: undefined }).details).not.toHaveProperty(
      'retryAfterMs',
    );
  });
});

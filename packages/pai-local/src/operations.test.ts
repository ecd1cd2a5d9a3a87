import { describe, expect, it } from 'vitest';
import { matchOperation, type Operation, parseBody } from './operations.ts';

const handle = () => ({});
const operations: Operation[] = [
  {
    action: 'GetJob',
    version: '2020-12-03',
    method: 'GET',
    path: '/api/v1/jobs/{JobId}',
    query: ['NeedDetail'],
    handle,
  },
  { action: 'StopJob', version: '2020-12-03', method: 'POST', path: '/api/v1/jobs/{JobId}/stop', query: [], handle },
];
const match = (method: string, url: string, action: string, version = '2020-12-03') =>
  matchOperation(operations, { method, url, action, version, body: Buffer.of() });

describe('matchOperation', () => {
  it('finds the operation and reads its path and query', () => {
    const { operation, request } = match('GET', '/api/v1/jobs/a%2Fb%20c?NeedDetail=false', 'GetJob');
    expect(operation.action).toBe('GetJob');
    expect(request.path).toEqual({ JobId: 'a/b c' });
    expect(request.query).toEqual(new Map([['NeedDetail', 'false']]));
    expect(match('POST', '/api/v1/jobs/x/stop', 'StopJob').operation.action).toBe('StopJob');
  });

  it.each([
    ['another method', 'PUT', '/api/v1/jobs/x/stop', 'StopJob', undefined],
    ['another path', 'GET', '/api/v1/job/x', 'GetJob', undefined],
    ['a longer path', 'GET', '/api/v1/jobs/x/', 'GetJob', undefined],
    ['an empty id', 'GET', '/api/v1/jobs/', 'GetJob', undefined],
    ['an id that is no UTF-8', 'GET', '/api/v1/jobs/%ff', 'GetJob', undefined],
    ['another action', 'GET', '/api/v1/jobs/x', 'StopJob', undefined],
    ['another version', 'GET', '/api/v1/jobs/x', 'GetJob', '2022-01-12'],
  ])('knows no %s', (_, method, url, action, version) => {
    expect(() => match(method, url, action, version)).toThrow(
      expect.objectContaining({ status: 404, code: 'InvalidAction.NotFound' }),
    );
  });

  it('refuses a query parameter that it would ignore', () => {
    expect(() => match('GET', '/api/v1/jobs/x?needDetail=false', 'GetJob')).toThrow(
      expect.objectContaining({ code: 'InvalidParameter', message: expect.stringContaining('needDetail') }),
    );
  });
});

describe('parseBody', () => {
  it('takes a JSON object in UTF-8 and nothing else', () => {
    expect(parseBody(Buffer.from('{"a":"é"}'))).toEqual({ a: 'é' });
    for (const body of [Buffer.from('[]'), Buffer.from('{'), Buffer.of(), Buffer.of(0x7b, 0xff, 0x7d)]) {
      expect(() => parseBody(body)).toThrow(expect.objectContaining({ code: 'InvalidParameter' }));
    }
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FaultRule, PaiLocal } from '../src/index.ts';
import { type Call, caller, openSandbox, type Sandbox, sendRaw, until } from './client.ts';

/** Faults on demand, as pai-api.md §8.4 and §8.8 name them, seen from the wire. */

const VERSION = '2020-12-03';
const JOBS = '/api/v1/jobs';
const SPEC = { Type: 'Worker', Image: 'none', PodCount: 1, EcsSpec: 'ecs.c6.large' };
const TOKEN = 'control-token';

let sandbox: Sandbox;
let pai: PaiLocal;
let call: Call;
let now: number;
beforeEach(async () => {
  sandbox = await openSandbox();
  now = Date.parse('2026-11-24T00:00:00Z');
  // Time stands still unless a test moves it, and no job gets beyond Creating.
  const clock = { now: () => now, sleep: (_: number, signal?: AbortSignal) => untilAborted(signal) };
  pai = await sandbox.start({ clock, controlToken: TOKEN });
  call = caller(pai.url, VERSION, undefined, () => now);
});
afterEach(() => sandbox.close());

function untilAborted(signal?: AbortSignal): Promise<void> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }));
}

const control = (method: string, body?: unknown, token = TOKEN, path = '/_local/faults') =>
  sendRaw(pai.url, {
    ...{ method, url: path, headers: [['authorization', `Bearer ${token}`]] },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
const strike = async (...rules: FaultRule[]) => {
  expect(await control('PUT', { seed: 7, rules })).toMatchObject({ status: 200 });
};
const create = (name = 'a') =>
  call('CreateJob', 'POST', JOBS, {
    body: { DisplayName: name, JobType: 'PyTorchJob', JobSpecs: [SPEC], UserCommand: 'true' },
  });
const list = (query: Record<string, string> = {}) => call('ListJobs', 'GET', JOBS, { query });
const ids = ({ body }: { body: { Jobs: { JobId: string }[] } }) => body.Jobs.map(({ JobId }) => JobId);
const jobCount = async () => (await list()).body.TotalCount;

describe('the control endpoint', () => {
  it('counts what each rule has struck, and forgets all rules on DELETE', async () => {
    await strike({ fault: 'error-500', action: 'ListJobs', times: 1, skip: 1 });
    expect([(await list()).status, (await list()).status, (await list()).status]).toEqual([200, 500, 200]);
    expect((await control('GET')).body.faults).toMatchObject([{ seen: 3, struck: 1, rule: { fault: 'error-500' } }]);
    expect((await control('DELETE')).body.faults).toEqual([]);
  });

  it('is closed to others, and not there without a token of its own', async () => {
    expect((await control('GET', undefined, 'testsecret')).status).toBe(401);
    expect((await control('GET', undefined, TOKEN, '/_local/else')).status).toBe(404);
    expect((await control('POST')).status).toBe(405);
    const plain = await openSandbox();
    const { url } = await plain.start();
    expect((await sendRaw(url, { method: 'GET', url: '/_local/faults' })).status).toBe(404);
    await plain.close();
  });

  it.each([
    [{ rules: [{ fault: 'earthquake' }] }, /rules\[0\]\.fault is "earthquake"; it can be drop, /],
    [{ rules: [{ fault: 'drop', tims: 1 }] }, /rules\[0\]\.tims is not a field/],
    [{ rules: [{ fault: 'drop', times: -1 }] }, /rules\[0\]\.times is -1/],
    [{ rules: [{ fault: 'drop', commits: 1 }] }, /rules\[0\]\.commits is not a boolean/],
    [{ rules: {} }, /rules is not a list/],
    [{ seed: 'x', rules: [] }, /seed is not a whole number/],
    ['{', /not JSON/],
  ])('refuses %j', async (plan, message) => {
    const { status, body } = await control('PUT', plan);
    expect(status).toBe(400);
    expect(body).toMatchObject({ Code: 'InvalidParameter', Message: expect.stringMatching(message) });
  });

  it('draws by its seed: the same requests are struck again', async () => {
    const drawn = async () => {
      await strike({ fault: 'error-500', action: 'ListJobs', probability: 0.5 });
      const statuses: number[] = [];
      for (let count = 0; count < 12; count++) statuses.push((await list()).status);
      return statuses;
    };
    const first = await drawn();
    expect(new Set(first)).toEqual(new Set([200, 500]));
    expect(await drawn()).toEqual(first);
  });
});

describe('answers that do not come', () => {
  it('drops the connection after the job was made, or before', async () => {
    await strike({ fault: 'drop', action: 'CreateJob', commits: true, times: 1 });
    await expect(create()).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await jobCount()).toBe(1);
    await strike({ fault: 'drop', action: 'CreateJob', times: 1 });
    await expect(create()).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await jobCount()).toBe(1);
  });

  it('resets in the middle of the body, and the request is carried out', async () => {
    await strike({ fault: 'reset-mid-body', action: 'CreateJob', times: 1 });
    await expect(create()).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await jobCount()).toBe(1);
  });

  it('hangs, then closes', async () => {
    await strike({ fault: 'hang', action: 'ListJobs', times: 1, ms: 30 });
    await expect(list()).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect((await list()).status).toBe(200);
  });

  it('sends a body in pieces, and whole', async () => {
    await strike({ fault: 'slow-body', action: 'ListJobs', times: 1, ms: 5 });
    const slow = await list();
    expect(slow.headers['content-length']).toBe(String(Buffer.byteLength(slow.text)));
    expect(slow.body).toMatchObject({ Jobs: [], TotalCount: 0 });
  });
});

describe('answers in another’s place', () => {
  it.each([
    ['error-500', 500, /json/, /"Code":"InternalError"/],
    ['html-502', 502, /html/, /^<html>/],
    ['html-503', 503, /html/, /^<html>/],
    ['error-in-200', 200, /json/, /"Code":"InternalError"/],
    ['sts-expired', 400, /json/, /"Code":"InvalidSecurityToken.Expired"/],
  ] as const)('%s', async (fault, status, type, text) => {
    await strike({ fault, action: 'CreateJob', times: 1, commits: true });
    const answer = await create();
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toMatch(type);
    expect(answer.text).toMatch(text);
    expect(await jobCount()).toBe(1);
  });

  it('sends 200 with nothing in it', async () => {
    await strike({ fault: 'empty-200', action: 'CreateJob', times: 1 });
    expect(await create()).toMatchObject({ status: 200, text: '' });
    expect(await jobCount()).toBe(0);
  });

  it('throttles by a code, not by the status, with and without a wait in milliseconds', async () => {
    await strike({ fault: 'throttle', action: 'CreateJob', times: 1, retryAfterMs: 400 });
    const asked = await create();
    expect(asked).toMatchObject({ status: 400, body: { Code: 'Throttling.User', RequestId: expect.any(String) } });
    expect(asked.headers['x-acs-retry-after']).toBe('400');
    await strike({ fault: 'throttle', action: 'CreateJob', times: 1, httpStatus: 429 });
    const plain = await create();
    expect(plain.status).toBe(429);
    expect(plain.headers['x-acs-retry-after']).toBeUndefined();
    expect(await jobCount()).toBe(0);
  });
});

describe('answers that are true some other time', () => {
  it('shows a job only later: GetJob 404, absent from the list', async () => {
    await strike({ fault: 'late-visibility', action: 'CreateJob', times: 1, ms: 30_000 });
    const { JobId } = (await create()).body;
    expect((await list()).body).toMatchObject({ Jobs: [], TotalCount: 0 });
    expect((await call('GetJob', 'GET', `${JOBS}/${JobId}`)).status).toBe(404);
    now += 29_999;
    expect(await jobCount()).toBe(0);
    now += 1;
    expect(ids(await list())).toEqual([JobId]);
    expect((await call('GetJob', 'GET', `${JOBS}/${JobId}`)).body.JobId).toBe(JobId);
  });

  it('lists twice, in another order, and shifted from page to page', async () => {
    const made: string[] = [];
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) made.push((await create(name)).body.JobId);
    const asc = { Order: 'asc' };
    await strike({ fault: 'double-listing', action: 'ListJobs' });
    const doubled = await list(asc);
    expect(doubled.body.TotalCount).toBe(12);
    expect(ids(doubled)).toEqual(made.flatMap((id) => [id, id]));
    await strike({ fault: 'reordered-list', action: 'ListJobs' });
    const orders = new Set<string>();
    for (let count = 0; count < 5; count++) {
      const seen = ids(await list(asc));
      expect([...seen].sort()).toEqual([...made].sort());
      orders.add(seen.join());
    }
    expect(orders.size).toBeGreaterThan(1);
    await strike({ fault: 'shifting-pages', action: 'ListJobs' });
    const page = async (number: number) => ids(await list({ ...asc, PageSize: '3', PageNumber: String(number) }));
    const seconds = new Set<string>();
    for (let count = 0; count < 8; count++) {
      expect(await page(1)).toEqual(made.slice(0, 3));
      seconds.add((await page(2)).join());
    }
    expect(seconds).toEqual(new Set([made.slice(2, 5).join(), made.slice(4).join()]));
  });

  it('dates by another clock, and says a status of the future', async () => {
    await create();
    await strike({ fault: 'clock-skew', ms: -300_000 }, { fault: 'unknown-status', status: 'Hibernating' });
    expect((await list()).body.Jobs).toMatchObject([{ GmtCreateTime: '2026-11-23T23:55:00Z', Status: 'Hibernating' }]);
  });

  it('carries a request out after its answer was lost', async () => {
    const slow = await openSandbox();
    const server = await slow.start({ controlToken: TOKEN, pace: 100_000 });
    server.faults.set({ rules: [{ fault: 'drop', action: 'CreateJob', commits: true, commitAfterMs: 50, times: 1 }] });
    const through = caller(server.url, VERSION);
    const body = { DisplayName: 'a', JobType: 'PyTorchJob', JobSpecs: [SPEC], UserCommand: 'true' };
    await expect(through('CreateJob', 'POST', JOBS, { body })).rejects.toMatchObject({ code: 'ECONNRESET' });
    await until(
      async () => (await through('ListJobs', 'GET', JOBS)).body.TotalCount,
      (count) => count === 1,
    );
    await slow.close();
  });
});

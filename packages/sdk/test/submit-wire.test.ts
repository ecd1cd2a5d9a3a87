import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FaultRule, type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CptClient, type SubmitOptions } from '../src/index.ts';
import { fileSubmitJournal } from '../src/submit/node.ts';
import { sample72B } from './sample-specs.ts';

/** Over real connections, with the real client beneath: what a lost answer looks like there, and what PAI then holds. */

const KEY = { accessKeyId: 'local-id', accessKeySecret: 'local-secret' };
/** Nothing here is later than half a second, and a client that is alone need not wait for the second to pass. */
const timing = { settleMs: 1000, settleReads: 3, confirmMs: 30, firstPollMs: 60, longestPollMs: 200, callMs: 5000 };
const ofTwo = { ...timing, confirmMs: 1100 };

let directory: string;
let pai: PaiLocal;
let client: CptClient;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'submit-wire-'));
  pai = await startPaiLocal({
    ...{ accessKeys: { [KEY.accessKeyId]: KEY.accessKeySecret }, pace: 3_600_000 },
    ...{ stateDirectory: join(directory, 'state'), nasDirectory: join(directory, 'nas') },
  });
  client = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY, readTimeoutMs: 800 });
});
afterEach(async () => {
  await pai.close();
  await rm(directory, { recursive: true, force: true });
});

const submit = (options: SubmitOptions = {}) => client.jobs.submit(sample72B, { timing, ...options });
const strike = (...rules: FaultRule[]) => pai.faults.set({ rules });
async function jobIds(): Promise<string[]> {
  const found: string[] = [];
  for await (const { jobId } of client.jobs.list()) found.push(jobId);
  return found;
}

describe('rows 44 and 46: an answer that is lost', () => {
  it.each([
    { fault: 'drop', commits: true },
    { fault: 'drop', commits: true, commitAfterMs: 300 },
    { fault: 'reset-mid-body' },
    { fault: 'hang', commits: true, ms: 2000 },
    { fault: 'html-502', commits: true },
    { fault: 'empty-200', commits: true },
    { fault: 'error-500', commits: true },
    { fault: 'error-in-200', commits: true },
  ] satisfies FaultRule[])('%j: the job is adopted, and is the only one', async (rule) => {
    strike(
      { ...rule, action: 'CreateJob', times: 1 },
      { fault: 'late-visibility', action: 'CreateJob', ms: 200 },
      { fault: 'double-listing', action: 'ListJobs' },
    );
    const { jobId, submission } = await submit();
    expect(submission.how).toBe('adopted');
    expect(await jobIds()).toEqual([jobId]);
  });

  it('five callers with one key get one job', async () => {
    strike({ fault: 'drop', commits: true, action: 'CreateJob', times: 1 });
    const journal = fileSubmitJournal(join(directory, 'journal'));
    const jobs = await Promise.all(Array.from({ length: 5 }, () => submit({ key: 'monday', journal })));
    expect(new Set(jobs.map(({ jobId }) => jobId))).toEqual(new Set(await jobIds()));
  });

  it('creates again when the request never arrived', async () => {
    strike({ fault: 'drop', commits: false, action: 'CreateJob', times: 1 });
    const { jobId, submission } = await submit();
    expect(submission.how).toBe('created');
    expect(await jobIds()).toEqual([jobId]);
  });
});

describe('rows 55 and 59: an answer that refuses or says something new', () => {
  it('waits as long as a throttling asks, and creates once', async () => {
    strike({ fault: 'throttle', httpStatus: 429, retryAfterMs: 50, action: 'CreateJob', times: 2 });
    const { jobId, submission } = await submit();
    expect(submission.how).toBe('created');
    expect(await jobIds()).toEqual([jobId]);
  });

  it('takes a status it does not know for a job like any other', async () => {
    strike({ fault: 'unknown-status', status: 'Hibernating' });
    expect(await submit()).toMatchObject({ status: 'Hibernating', phase: 'unknown' });
  });

  it('says that a session token has expired, and nothing was created', async () => {
    strike({ fault: 'sts-expired', action: 'CreateJob', times: 1 });
    await expect(submit({ key: 'monday' })).rejects.toMatchObject({ code: 'CPT_PAI_SIGNATURE' });
    expect(await jobIds()).toEqual([]);
    expect(await submit({ key: 'monday' })).toMatchObject({ submission: { how: 'created' } });
  });
});

it('row 47: two clients with one key and separate journals end with one job', async () => {
  const journals = ['a', 'b'].map((name) => fileSubmitJournal(join(directory, name)));
  const submitBoth = () => Promise.all(journals.map((journal) => submit({ key: 'monday', journal, timing: ofTwo })));
  const both = await submitBoth();
  const again = await submitBoth();
  const running: string[] = [];
  for await (const { jobId, status } of client.jobs.list()) if (status !== 'Stopping') running.push(jobId);
  expect(running).toHaveLength(1);
  expect([...both, ...again].map(({ jobId }) => jobId)).toEqual(Array.from({ length: 4 }, () => running[0]));
});

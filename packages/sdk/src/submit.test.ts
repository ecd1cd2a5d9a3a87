import { inspect } from 'node:util';
import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { type VirtualClock, virtualClock } from '../test/exactly-once/virtual-clock.ts';
import { run72B, sample72B } from '../test/sample-specs.ts';
import { paiError, type Script, scriptedPai } from '../test/scripted-pai.ts';
import { Jobs } from './jobs.ts';
import type { WireCreateJob, WireJob } from './pai-wire.ts';
import { toCreateJob } from './routes/dlc.ts';
import type { SubmitJournal } from './submit/journal.ts';
import { memoryJournal } from './submit/memory-journal.ts';

/** A PAI that makes and lists jobs; `script` replaces single operations. */
function pretendPai(script: Script = {}, clock: VirtualClock = virtualClock()) {
  const made: WireJob[] = [];
  const create = (body: WireCreateJob): string => {
    const JobId = `dlc${made.length + 1}`;
    made.push({ ...body, JobId, Status: 'Queuing', GmtCreateTime: new Date(clock.now()).toISOString() } as WireJob);
    return JobId;
  };
  const find = (JobId: string): WireJob => {
    const job = made.find((candidate) => candidate.JobId === JobId);
    if (job) return job;
    throw paiError('CPT_PAI_NOT_FOUND', { status: 404 });
  };
  const pai = scriptedPai({
    CreateJob: ({ body }) => ({ JobId: create(body), RequestId: 'R' }),
    ListJobs: ({ query }) => {
      const found = made.filter(({ DisplayName }) => DisplayName.includes(query.DisplayName ?? ''));
      return { Jobs: found, TotalCount: found.length, RequestId: 'R' };
    },
    GetJob: ({ path }) => find(path.JobId),
    StopJob: ({ path }) => {
      find(path.JobId).Status = 'Stopping';
      return { JobId: path.JobId };
    },
    ...script,
  });
  const actions = () => pai.calls.map(({ action }) => action);
  return { pai, made, create, clock, actions, jobs: new Jobs(pai, '268', { clock }) };
}

const codeOf = (error: unknown) => (CptError.isInstance(error) ? error.code : String(error));
const failure = (promise: Promise<unknown>) => promise.then(() => 'no error', codeOf);

describe('submit', () => {
  it('creates the job that the specification describes, marked in name, environment and tags', async () => {
    const { jobs, pai, actions } = pretendPai();
    const job = await jobs.submit({ ...sample72B, tags: { team: 'law' }, environment: { A: 'b' } });
    const { intentId } = job.submission;
    expect(intentId).toMatch(/^[0-9a-f]{32}$/);
    const body = pai.calls[0]?.input.body as WireCreateJob;
    const plain = toCreateJob(run72B({}, { tags: { team: 'law' }, environment: { A: 'b' } }), '268');
    expect(body).toEqual({
      ...plain,
      DisplayName: `qwen2-72b-cpt-cpt-${intentId.slice(0, 12)}`,
      Envs: { A: 'b', CPT_JOB_ID: intentId },
      Settings: {
        Tags: {
          ...{ team: 'law', 'cpt-intent': intentId },
          'cpt-attempt': expect.stringMatching(/^1-[0-9a-f]{8}$/),
          'cpt-digest': expect.stringMatching(/^[0-9a-f]{32}$/),
        },
      },
    });
    // Seen once, and once more when every job of the same second must be visible.
    expect(actions()).toEqual(['CreateJob', 'ListJobs', 'ListJobs']);
    expect(job).toMatchObject({ jobId: 'dlc1', phase: 'pending', workspaceId: '268', submission: { how: 'created' } });
  });

  it('reads the list from before every job, oldest first, by the mark in the name', async () => {
    const { jobs, pai } = pretendPai();
    const { submission } = await jobs.submit(sample72B, { key: 'monday' });
    expect(pai.calls[0]).toEqual({
      action: 'ListJobs',
      input: {
        query: {
          ...{ DisplayName: `-cpt-${submission.intentId.slice(0, 12)}`, StartTime: '2020-12-03T00:00:00Z' },
          ...{ PageNumber: 1, PageSize: 50, SortBy: 'GmtCreateTime', Order: 'asc', WorkspaceId: '268' },
        },
      },
    });
  });

  it('makes two jobs of two submissions without a key, and one of any number with one', async () => {
    const { jobs, made } = pretendPai();
    await jobs.submit(sample72B);
    await jobs.submit(sample72B);
    expect(made).toHaveLength(2);
    const many = await Promise.all(Array.from({ length: 5 }, () => jobs.submit(sample72B, { key: 'monday' })));
    expect(new Set(many.map(({ jobId }) => jobId))).toEqual(new Set(['dlc3']));
    expect(many.map(({ submission }) => submission.how)).toEqual(['created', 'known', 'known', 'known', 'known']);
    expect(made).toHaveLength(3);
  });

  it('refuses a key that was used for another run, by its own journal and by the job’s tag', async () => {
    const first = pretendPai();
    await first.jobs.submit(sample72B, { key: 'monday' });
    const other = { ...sample72B, hyperParameters: { train_tokens: 3_276_800 } };
    expect(await failure(first.jobs.submit(other, { key: 'monday' }))).toBe('CPT_INPUT_SUBMIT_KEY_REUSED');
    const elsewhere = new Jobs(first.pai, '268', { clock: first.clock });
    expect(await failure(elsewhere.submit(other, { key: 'monday' }))).toBe('CPT_INPUT_SUBMIT_KEY_REUSED');
    expect(await elsewhere.submit(sample72B, { key: 'monday' })).toMatchObject({ submission: { how: 'adopted' } });
    expect(first.made).toHaveLength(1);
  });

  it('refuses a run that its plan blocks, and says why; forced, the tag and the journal say which checks', async () => {
    const { jobs, made, actions } = pretendPai();
    const journal = memoryJournal();
    const blocked = run72B({ train_tokens: 100 });
    const error = await jobs.submit(blocked).catch((thrown: unknown) => thrown);
    expect(codeOf(error)).toBe('CPT_INPUT_PLAN_BLOCKED');
    expect((error as CptError).message).toMatch(
      /^the plan is blocked: P1: .*nothing would be trained \(raise train_tokens/,
    );
    expect((error as CptError).details.findings).toMatchObject([{ check: 'P1', level: 'block' }]);
    const facts = { dataset: { tokens: 2e9, sequences: 1, documents: 1, maxId: 200_000, source: 'x.idx' } };
    await expect(jobs.submit(sample72B, { facts })).rejects.toThrow(/P7: largest token id 200,000/);
    expect(actions()).toEqual([]);
    const { submission } = await jobs.submit(blocked, { force: true, journal });
    expect(made[0]?.Settings).toMatchObject({ Tags: { 'cpt-forced': 'P1' } });
    const claim = await journal.claim(submission.intentId);
    expect(claim.records[0]).toMatchObject({ type: 'intent', forced: ['P1'] });
  });

  it.each([
    [{ tags: { 'cpt-intent': 'x' } }, /\/tags\/cpt-intent/],
    [{ environment: { CPT_JOB_ID: 'x' } }, /\/environment\/CPT_JOB_ID/],
  ])('keeps its marks to itself: %j', async (part, message) => {
    await expect(pretendPai().jobs.submit({ ...sample72B, ...part })).rejects.toThrow(message);
  });
});

describe('an answer that is lost', () => {
  it.each([
    ['a timeout', paiError('CPT_PAI_TIMEOUT')],
    ['an outage', paiError('CPT_PAI_UNAVAILABLE', { status: 502 })],
    ['a reset', paiError('CPT_PAI_UNAVAILABLE', { systemCode: 'ECONNRESET' })],
    ['whatever else', new TypeError('x')],
  ])('after %s the job is looked for and adopted, not created again', async (_, error) => {
    const world = pretendPai({
      CreateJob: ({ body }) => {
        world.create(body);
        throw error;
      },
    });
    expect(await world.jobs.submit(sample72B)).toMatchObject({ jobId: 'dlc1', submission: { how: 'adopted' } });
    expect(world.made).toHaveLength(1);
  });

  it('creates again only when the list was empty for two minutes and five readings', async () => {
    const world = pretendPai({
      CreateJob: ({ body }, calls) => {
        if (calls === 0) throw paiError('CPT_PAI_TIMEOUT');
        return { JobId: world.create(body), RequestId: 'R' };
      },
    });
    const began = world.clock.now();
    await world.jobs.submit(sample72B);
    const between = world.actions().slice(0, world.actions().lastIndexOf('CreateJob'));
    expect(between.filter((action) => action === 'ListJobs').length).toBeGreaterThanOrEqual(5);
    expect(Date.parse(world.made[0]?.GmtCreateTime ?? '') - began).toBeGreaterThanOrEqual(120_000);
  });

  it('asks rather than guesses: no list, no second job', async () => {
    const world = pretendPai({
      CreateJob: ({ body }) => {
        world.create(body);
        throw paiError('CPT_PAI_TIMEOUT');
      },
      ListJobs: (_, calls) => {
        if (calls === 0) return { Jobs: [], TotalCount: 0, RequestId: 'R' };
        throw paiError('CPT_PAI_UNAVAILABLE');
      },
    });
    const error = await world.jobs.submit(sample72B, { key: 'monday' }).catch((thrown: unknown) => thrown);
    expect(codeOf(error)).toBe('CPT_PAI_SUBMIT_UNKNOWN');
    expect((error as CptError).message).toMatch(/submit again with the key "monday", which looks for it first/);
    expect(world.made).toHaveLength(1);
  });

  it('asks when a job has its name and PAI shows neither tags nor environment', async () => {
    const bare = ({ DisplayName, JobId, Status, GmtCreateTime }: WireJob): WireJob =>
      ({ DisplayName, JobId, Status, GmtCreateTime }) as WireJob;
    const world = pretendPai({
      CreateJob: ({ body }) => {
        world.create(body);
        throw paiError('CPT_PAI_TIMEOUT');
      },
      ListJobs: () => ({ Jobs: world.made.map(bare), TotalCount: world.made.length, RequestId: 'R' }),
      GetJob: () => bare(world.made[0] as WireJob),
    });
    expect(await failure(world.jobs.submit(sample72B))).toBe('CPT_PAI_SUBMIT_UNKNOWN');
    expect(world.made).toHaveLength(1);
  });

  it('says at once that PAI refused, and a later submission under the key creates', async () => {
    const world = pretendPai({
      CreateJob: ({ body }, calls) => {
        if (calls === 0) throw paiError('CPT_PAI_REJECTED', { status: 400 });
        return { JobId: world.create(body), RequestId: 'R' };
      },
    });
    const began = world.clock.now();
    expect(await failure(world.jobs.submit(sample72B, { key: 'monday' }))).toBe('CPT_PAI_REJECTED');
    expect(world.clock.now() - began).toBeLessThan(5000);
    // Nothing came of the key, so it is free also for a run that is put right.
    const better = { ...sample72B, priority: 2 };
    expect(await world.jobs.submit(better, { key: 'monday' })).toMatchObject({ submission: { how: 'created' } });
    expect(await failure(world.jobs.submit(sample72B, { key: 'monday' }))).toBe('CPT_INPUT_SUBMIT_KEY_REUSED');
  });

  it('ends on abort with the signal’s reason, and the same key goes on', async () => {
    const controller = new AbortController();
    const world = pretendPai({
      ListJobs: () => {
        controller.abort(new Error('stopped'));
        throw paiError('CPT_PAI_UNAVAILABLE');
      },
    });
    const journal = memoryJournal();
    await expect(world.jobs.submit(sample72B, { journal, signal: controller.signal })).rejects.toThrow('stopped');
    expect(await journal.open()).toHaveLength(1);
  });

  it('tells a job that is named but not listed by asking for it', async () => {
    const world = pretendPai({
      ListJobs: () => {
        throw paiError('CPT_PAI_FORBIDDEN');
      },
    });
    expect(await world.jobs.submit(sample72B)).toMatchObject({ jobId: 'dlc1', submission: { how: 'created' } });
  });
});

describe('two clients under one key', () => {
  it('keep the same job also when both were made in one second and one shows late', async () => {
    const world = pretendPai({
      CreateJob: ({ body }) => {
        world.create(body); // dlc1, another client's, which is not shown yet
        world.create(body);
        return { JobId: 'dlc2', RequestId: 'R' };
      },
      ListJobs: (_, calls) => {
        const shown = calls === 0 ? [] : calls === 1 ? world.made.slice(1) : world.made;
        return { Jobs: shown, TotalCount: shown.length, RequestId: 'R' };
      },
    });
    const job = await world.jobs.submit(sample72B, { key: 'monday' });
    expect(job).toMatchObject({ jobId: 'dlc1', submission: { how: 'adopted', stopped: ['dlc2'] } });
    expect(world.made.map(({ Status }) => Status)).toEqual(['Queuing', 'Stopping']);
  });

  it('stop nothing on a list that is stale: the job to keep must be there', async () => {
    const world = pretendPai({
      ListJobs: (_, calls) => {
        const gone = { ...(world.made[0] as WireJob), JobId: 'dlc0' };
        const shown = calls === 0 ? [] : calls < 4 ? [gone, ...world.made] : world.made;
        return { Jobs: shown, TotalCount: shown.length, RequestId: 'R' };
      },
    });
    expect(await world.jobs.submit(sample72B, { key: 'monday' })).toMatchObject({
      ...{ jobId: 'dlc1', submission: { how: 'created', stopped: [] } },
    });
    expect(world.actions()).not.toContain('StopJob');
  });

  it('say so when the second job cannot be stopped', async () => {
    const world = pretendPai({
      CreateJob: ({ body }) => {
        world.create(body);
        return { JobId: world.create(body), RequestId: 'R' };
      },
      StopJob: () => {
        throw paiError('CPT_PAI_UNAVAILABLE');
      },
    });
    expect(await failure(world.jobs.submit(sample72B))).toBe('CPT_PAI_SUBMIT_DUPLICATE');
  });
});

describe('recover', () => {
  it('stops a job that came after all, and keeps the older one', async () => {
    const late: WireCreateJob[] = [];
    const world = pretendPai({
      CreateJob: ({ body }, calls) => {
        if (calls > 0) return { JobId: world.create(body), RequestId: 'R' };
        late.push(body);
        throw paiError('CPT_PAI_TIMEOUT');
      },
    });
    const journal = memoryJournal();
    await world.jobs.submit(sample72B, { journal });
    await world.clock.sleep(3_600_000);
    world.create(late[0] as WireCreateJob);
    expect(await world.jobs.recover(journal)).toMatchObject([
      { outcome: 'known', job: { jobId: 'dlc1' }, stopped: ['dlc2'] },
    ]);
    expect(world.made.map(({ Status }) => Status)).toEqual(['Queuing', 'Stopping']);
    expect(await journal.open()).toEqual([]);
  });

  it('needs the specification where the journal withheld its environment, and keeps no value of it', async () => {
    const canary = 'canary-secret-value';
    const spec = { ...sample72B, environment: { HF_TOKEN: canary } };
    const controller = new AbortController();
    const world = pretendPai({
      CreateJob: ({ body }, calls) => {
        if (calls === 0) {
          controller.abort(new Error('killed'));
          throw new Error('killed');
        }
        return { JobId: world.create(body), RequestId: 'R' };
      },
    });
    const journal = memoryJournal();
    const options = { key: 'monday', journal, signal: controller.signal };
    await expect(world.jobs.submit(spec, options)).rejects.toThrow('killed');
    const intent = (await journal.open())[0]?.intent;
    expect(intent).toMatchObject({ withheld: ['HF_TOKEN'], request: { Envs: { CPT_JOB_ID: intent?.intentId } } });
    expect(inspect(await journal.open(), { depth: 20 })).not.toContain(canary);
    expect(await world.jobs.recover(journal)).toMatchObject([{ outcome: 'needs-spec', key: 'monday' }]);
    expect(world.made).toEqual([]);
    expect(await world.jobs.recover(journal, { specFor: () => spec })).toMatchObject([{ outcome: 'created' }]);
    expect(world.made[0]?.Envs).toMatchObject({ HF_TOKEN: canary });
  });

  it('goes on with the others when one cannot be read', async () => {
    const world = pretendPai({
      CreateJob: () => {
        throw paiError('CPT_PAI_TIMEOUT');
      },
    });
    const journal = memoryJournal();
    expect(await failure(world.jobs.submit(sample72B, { journal, timeoutMs: 1000 }))).toBe('CPT_PAI_SUBMIT_UNKNOWN');
    const error = new Error('line 2 is no record');
    const withDamage: SubmitJournal = {
      ...journal,
      open(onDamaged) {
        onDamaged?.('f'.repeat(32), error);
        return journal.open();
      },
    };
    const [damaged, whole] = await world.jobs.recover(withDamage);
    expect(damaged).toEqual({ intentId: 'f'.repeat(32), outcome: 'failed', stopped: [], error });
    expect(whole?.outcome).not.toBe('elsewhere');
    expect(whole).toBeDefined();
  });

  it('leaves alone what belongs to another endpoint or is being worked on', async () => {
    const world = pretendPai({
      CreateJob: () => {
        throw paiError('CPT_PAI_TIMEOUT');
      },
    });
    const journal = memoryJournal();
    expect(await failure(world.jobs.submit(sample72B, { journal, timeoutMs: 1000 }))).toBe('CPT_PAI_SUBMIT_UNKNOWN');
    const elsewhere = new Jobs(world.pai, '268', { clock: world.clock, target: 'http://127.0.0.1:1' });
    expect(await elsewhere.recover(journal)).toMatchObject([{ outcome: 'elsewhere' }]);
    const intent = (await journal.open())[0]?.intent;
    const claim = await journal.claim(intent?.intentId as string);
    expect(await world.jobs.recover(journal)).toMatchObject([{ outcome: 'in-flight' }]);
    await claim.release();
  });
});

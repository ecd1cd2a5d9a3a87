import { describe, expect, it } from 'vitest';
import { iterationLine, LogStore, pod, wireJob } from '../test/scripted-job.ts';
import { manualClock, paiError, type Script, scriptedPai } from '../test/scripted-pai.ts';
import { Jobs } from './jobs.ts';

const withScript = (script: Script, workspaceId?: string) => {
  const pai = scriptedPai(script);
  return { pai, jobs: new Jobs(pai, workspaceId), actions: () => pai.calls.map(({ action }) => action) };
};

it('gives a job in its own words', async () => {
  const { jobs } = withScript({
    GetJob: () =>
      wireJob(
        'Failed',
        [{ ...pod('worker-0'), Ip: '10.0.0.2', GmtStartTime: '2026-11-24T00:01:00Z', GmtFinishTime: '' }],
        {
          ...{
            SubStatus: '',
            ReasonCode: 'PodFailed',
            ReasonMessage: 'exit code 1',
            Duration: 61,
            RestartTimes: '0/10',
          },
          ...{ GmtRunningTime: '2026-11-24T00:01:00Z', GmtFinishTime: '2026-11-24T00:02:01Z', WorkspaceId: '268' },
          StatusHistory: [{ Status: 'Creating', StartTime: '2026-11-24T00:00:00Z' }],
        },
      ),
  });
  expect(await jobs.get('dlc1')).toEqual({
    ...{
      jobId: 'dlc1',
      displayName: 'a',
      phase: 'failed',
      status: 'Failed',
      reasonCode: 'PodFailed',
      reasonMessage: 'exit code 1',
    },
    ...{ workspaceId: '268', createdAt: '2026-11-24T00:00:00Z', startedAt: '2026-11-24T00:01:00Z' },
    ...{ finishedAt: '2026-11-24T00:02:01Z', durationSeconds: 61, restarts: '0/10' },
    pods: [
      {
        ...{ podId: 'dlc1-worker-0', podUid: 'uid-worker-0', type: 'Worker', status: 'Running', ip: '10.0.0.2' },
        startedAt: '2026-11-24T00:01:00Z',
      },
    ],
    statusHistory: [{ status: 'Creating', phase: 'pending', at: '2026-11-24T00:00:00Z' }],
  });
});

describe('list', () => {
  const numbered = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => wireJob('Running', [], { JobId: `dlc${from + index}` }));
  const idsOf = async (jobs: Jobs, options = {}) => {
    const ids: string[] = [];
    for await (const job of jobs.list(options)) ids.push(job.jobId);
    return ids;
  };

  it('hides pages, also when a new job moves the others on', async () => {
    // Between the pages a job was created: page 2 begins with the last job of page 1.
    const pages = [numbered(0, 50), numbered(49, 50), numbered(99, 3)];
    const { jobs, pai } = withScript({
      ListJobs: (_, calls) => ({ Jobs: pages[calls] ?? [], TotalCount: calls === 0 ? 102 : 103, RequestId: 'R' }),
    });
    expect(await idsOf(jobs)).toEqual(Array.from({ length: 102 }, (_, index) => `dlc${index}`));
    expect(pai.calls.map(({ input }) => (input.query as { PageNumber: number }).PageNumber)).toEqual([1, 2, 3]);
  });

  it('asks for every job, not only those of the last seven days', async () => {
    const { jobs, pai } = withScript({ ListJobs: () => ({ Jobs: [], TotalCount: 0, RequestId: 'R' }) }, '268');
    await idsOf(jobs, { displayName: 'law', status: 'Running', tags: { team: 'law' } });
    expect(pai.calls[0]?.input.query).toEqual({
      ...{ DisplayName: 'law', Status: 'Running', Tags: { team: 'law' }, WorkspaceId: '268' },
      ...{ StartTime: '2020-12-03T00:00:00Z', SortBy: 'GmtCreateTime', Order: 'desc', PageNumber: 1, PageSize: 50 },
    });
  });

  it('asks for no page that nobody reads', async () => {
    const { jobs, actions } = withScript({
      ListJobs: () => ({ Jobs: numbered(0, 50), TotalCount: 500, RequestId: 'R' }),
    });
    for await (const job of jobs.list()) if (job.jobId === 'dlc3') break;
    expect(actions()).toEqual(['ListJobs']);
  });

  it('ends at an empty page, whatever the count says', async () => {
    const { jobs } = withScript({
      ListJobs: (_, calls) => ({ Jobs: calls === 0 ? numbered(0, 50) : [], TotalCount: 999, RequestId: 'R' }),
    });
    expect(await idsOf(jobs)).toHaveLength(50);
  });
});

describe('stop', () => {
  it('stops a running job and gives it as it then stands', async () => {
    const { jobs, actions } = withScript({
      GetJob: (_, calls) => wireJob(calls === 0 ? 'Running' : 'Stopping'),
      StopJob: () => ({ JobId: 'dlc1' }),
    });
    expect(await jobs.stop('dlc1')).toMatchObject({ status: 'Stopping', phase: 'running' });
    expect(actions()).toEqual(['GetJob', 'StopJob', 'GetJob']);
  });

  it.each(['Succeeded', 'Failed', 'Stopped'])('leaves a job alone that is %s', async (status) => {
    const { jobs, actions } = withScript({ GetJob: () => wireJob(status) });
    expect((await jobs.stop('dlc1')).status).toBe(status);
    expect(actions()).toEqual(['GetJob']);
  });

  it('frees the machines of a job that has ended and holds them', async () => {
    const { jobs, actions } = withScript({
      GetJob: () => wireJob('FailedReserving'),
      StopJob: () => ({ JobId: 'dlc1' }),
    });
    await jobs.stop('dlc1');
    expect(actions()).toContain('StopJob');
  });

  it('takes a refusal for done when the job ended meanwhile, and only then', async () => {
    const refused = paiError('CPT_PAI_REJECTED', { status: 400 });
    const script = (after: string): Script => ({
      GetJob: (_, calls) => wireJob(calls === 0 ? 'Running' : after),
      StopJob: () => {
        throw refused;
      },
    });
    expect((await withScript(script('Succeeded')).jobs.stop('dlc1')).status).toBe('Succeeded');
    await expect(withScript(script('Running')).jobs.stop('dlc1')).rejects.toBe(refused);
  });
});

it('deletes by id', async () => {
  const { jobs, pai } = withScript({ DeleteJob: () => ({ JobId: 'dlc1' }) });
  await jobs.delete('dlc1');
  expect(pai.calls).toEqual([{ action: 'DeleteJob', input: { path: { JobId: 'dlc1' } } }]);
});

describe('wait', () => {
  it('gives the ended job, however it ended', async () => {
    const clock = manualClock();
    const statuses = ['Queuing', 'Running', 'Brand-new', 'FailedReserving'];
    const { jobs } = withScript({ GetJob: (_, calls) => wireJob(statuses[calls] ?? 'Failed') });
    expect(await jobs.wait('dlc1', { timeoutMs: 60_000, clock })).toMatchObject({ phase: 'failed' });
    expect(clock.sleeps).toEqual([10_000, 10_000, 10_000]);
  });

  it('ends at its deadline with the last job', async () => {
    const { jobs } = withScript({ GetJob: () => wireJob('Running') });
    const waiting = jobs.wait('dlc1', { timeoutMs: 30_000, clock: manualClock() });
    await expect(waiting).rejects.toMatchObject({ code: 'CPT_WAIT_TIMEOUT', details: { last: { jobId: 'dlc1' } } });
  });
});

describe('logs', () => {
  const store = new LogStore(() => Date.parse('2026-11-24T00:00:00Z'));
  store.write('uid-worker-0', iterationLine(1));
  const script: Script = {
    GetJob: () => wireJob('Running', [pod('master-0'), pod('worker-0')]),
    GetPodLogs: (input) => store.answer(input, () => 'uid-worker-0'),
  };

  it('gives the last worker’s lines, then only what is new', async () => {
    const { jobs } = withScript(script);
    const first = await jobs.logs('dlc1');
    expect(first).toMatchObject({ podId: 'dlc1-worker-0', podUid: 'uid-worker-0', lines: [iterationLine(1)] });
    store.write('uid-worker-0', iterationLine(2));
    // The cursor is plain data: it survives a trip through JSON, and holds no line.
    const stored = JSON.stringify(first.cursor);
    expect(stored).not.toContain('iteration');
    expect((await jobs.logs('dlc1', { cursor: JSON.parse(stored) })).lines).toEqual([iterationLine(2)]);
  });

  it('names the pods of the job when the one asked for is not among them', async () => {
    const { jobs } = withScript(script);
    await expect(jobs.logs('dlc1', { podId: 'dlc1-worker-7' })).rejects.toThrow(
      'job dlc1 has no pod dlc1-worker-7; its pods: dlc1-master-0, dlc1-worker-0',
    );
  });
});

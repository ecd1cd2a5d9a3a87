import { expect, it } from 'vitest';
import { pod, wireJob } from '../../../test/scripted-job.ts';
import { paiError, scriptedPai } from '../../../test/scripted-pai.ts';
import { explainJob } from './explain-job.ts';

const OOM = '[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB.';

it('reads the logs of all pods and of those they replaced, failed ones first, and goes on past what cannot be read', async () => {
  const pods = [
    pod('master-0'),
    { ...pod('worker-0'), HistoryPods: [{ ...pod('worker-0', 'old-uid'), Status: 'Failed' }] },
    pod('worker-1'),
  ];
  const pai = scriptedPai({
    GetJob: () => wireJob('Failed', pods, { ReasonCode: 'PodFailed', ReasonMessage: 'exited with code 1' }),
    GetPodLogs: ({ path, query }) => {
      if (path.PodId === 'dlc1-worker-1') throw paiError('CPT_PAI_REJECTED', { status: 400 });
      return { Logs: query.PodUid === 'old-uid' ? [OOM] : ['all is well'], JobId: 'dlc1', PodId: path.PodId };
    },
    GetPodEvents: () => ({ Events: ['2026-11-24T08:00:00Z Normal Started'], JobId: 'dlc1', PodId: 'dlc1-worker-0' }),
  });
  const failure = await explainJob(pai, 'dlc1', { lines: 500 });
  expect(failure).toMatchObject({ cause: 'cuda-oom', podId: 'dlc1-worker-0', evidence: [OOM], podsRead: 3, pods: 4 });
  const asked = pai.calls.filter(({ action }) => action === 'GetPodLogs').map(({ input }) => input.query);
  expect(asked[0]).toEqual({ PodUid: 'old-uid', MaxLines: 500 });
  expect(asked).toHaveLength(4);
});

it('takes the events of a failed pod for reasons', async () => {
  const failed = { ...pod('worker-0'), Status: 'Failed' };
  const pai = scriptedPai({
    GetJob: () => wireJob('Failed', [failed], { ReasonCode: 'PodFailed' }),
    GetPodLogs: () => {
      throw paiError('CPT_PAI_NOT_FOUND', { status: 404 });
    },
    GetPodEvents: () => ({
      Events: [
        '2026-11-24T08:00:00Z Normal Scheduled ok',
        '2026-11-24T08:01:00Z Warning Failed Failed to pull image "x:1"',
      ],
      ...{ JobId: 'dlc1', PodId: 'dlc1-worker-0' },
    }),
  });
  expect(await explainJob(pai, 'dlc1')).toMatchObject({ cause: 'image-pull', podsRead: 0, pods: 1 });
});

it('reads of many pods as many as it may', async () => {
  const pods = Array.from({ length: 100 }, (_, index) => pod(`worker-${index}`));
  const pai = scriptedPai({
    GetJob: () => wireJob('Failed', pods),
    GetPodLogs: ({ path }) => ({ Logs: [], JobId: 'dlc1', PodId: path.PodId }),
  });
  expect(await explainJob(pai, 'dlc1', { pods: 10 })).toMatchObject({ cause: 'unknown', podsRead: 10, pods: 100 });
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createVirtualClock, type PaiLocal, parseScenario, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CptClient } from '../src/index.ts';
import type { WatchEvent } from '../src/monitor/watch-job.ts';
import { sample72B } from './sample-specs.ts';

/** A job one of whose pods stops using its GPUs at minute 5, watched over GetJobMetrics to the rule that stops it. */

const KEY = { accessKeyId: 'local-id', accessKeySecret: 'local-secret' };
const clock = createVirtualClock(Date.UTC(2026, 0, 1));
let root: string;
let pai: PaiLocal;
let client: CptClient;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sdk-gpu-idle-'));
  const script = {
    // Ten lines a minute, for twenty minutes.
    ...{ name: 'qwen2', iterations: 200, iterationMs: 6000, saveInterval: 100 },
    gpuUse: [
      { percent: [96], memoryPercent: [88] },
      { fromMinute: 5, percent: [96, 96, 96, 3], memoryPercent: [88] },
    ],
  };
  pai = await startPaiLocal({
    ...{ accessKeys: { [KEY.accessKeyId]: KEY.accessKeySecret }, pace: 1000, clock },
    ...{ stateDirectory: join(root, 'state'), nasDirectory: join(root, 'nas') },
    scenario: parseScenario({ jobs: [script] }),
  });
  client = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY });
});
afterAll(async () => {
  await pai?.close();
  await rm(root, { recursive: true, force: true });
});

it('G1: a GPU that falls idle is told with its pod, and the job is stopped', async () => {
  const timing = { firstPollMs: 1, confirmMs: 1, settleMs: 1 };
  const { jobId } = await client.jobs.submit(sample72B, { timing, force: true });
  const passing = { now: clock.now, sleep: (ms: number) => clock.advance(ms) };
  const events: WatchEvent[] = [];
  const watching = { clock: passing, pollMs: 10_000, metricsEveryMs: 60_000, stopOn: ['G1' as const] };
  for await (const event of client.jobs.watch(jobId, watching)) events.push(event);

  const looks = events.flatMap((event) => (event.type === 'metrics' ? [event.pods] : []));
  expect(looks[0]).toHaveLength(4);
  expect(looks[0]?.[3]).toMatchObject({ podId: `${jobId}-worker-2`, gpuPercent: 96, gpuMemoryPercent: 88 });
  expect(looks.at(-1)?.map(({ gpuPercent }) => gpuPercent)).toEqual([96, 96, 96, 3]);
  const opened = events.find((event) => event.type === 'incident');
  const [evidence] = opened?.type === 'incident' ? opened.incident.evidence : [];
  expect(evidence).toMatchObject({
    ...{ rule: 'G1', value: 3, threshold: 20 },
    message: `${jobId}-worker-2 (3 %) hardly uses its GPUs while 3 of 4 pods use more`,
  });
  // Idle from iteration 50 on; the third look a minute apart that sees it comes two to four minutes later.
  expect(evidence?.firstIteration).toBeGreaterThanOrEqual(70);
  expect(evidence?.firstIteration).toBeLessThanOrEqual(90);
  expect(events).toContainEqual(expect.objectContaining({ type: 'stop-requested', rule: 'G1' }));
  expect(events.at(-1)).toMatchObject({ type: 'end', phase: 'stopped' });
});

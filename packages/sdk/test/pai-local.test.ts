import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CptClient, type CptRunSpecInput, type JobEvent } from '../src/index.ts';

/**
 * The client against a server that shares no code with it: signatures, bodies and answers must agree. The job runs for real,
 * as two processes that execute the launch command; in place of the toolkit there is a script that prints Megatron's lines.
 */

const KEY = { accessKeyId: 'local-id', accessKeySecret: 'local-secret' };

const LAUNCH_SCRIPT = `set -e
[ "$RANK" = $((WORLD_SIZE - 1)) ] || { echo "rank $RANK waits"; exit 0; }
printf '%s\\n' "$#" "$@" > "\${26}/arguments.txt"
iterations=$((\${24} / $4 / $7))
for i in $(seq 1 $iterations); do
  printf ' [2026-11-24 00:00:%02d] iteration %8d/%8d | consumed samples: %12d | elapsed time per iteration (ms): 12.5 | learning rate: 5.000000E-05 | global batch size: %5d | lm loss: 2.%d00000E+00 | loss scale: 1.0 | grad norm: 1.000 | number of skipped iterations:   0 | number of nan iterations:   0 |\\n' $i $i $iterations $((i * $4)) $4 $((9 - i % 10))
  if [ $((i % \${20})) = 0 ]; then
    printf '  successfully saved checkpoint from iteration %7d to %s [ t 1/2, p 1/2 ]\\n' $i "\${26}/checkpoint/run"
  fi
  sleep 0.05
done
echo ' validation loss at iteration 6 on validation set | lm loss value: 2.400000E+00 | lm loss PPL: 1.102318E+01 | '
exit "\${EXIT_CODE:-0}"
`;

let root: string;
let pai: PaiLocal;
let client: CptClient;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sdk-pai-local-'));
  const [nas, images] = [join(root, 'nas'), join(root, 'images')];
  await mkdir(join(nas, 'fs1/toolkit/examples/qwen2'), { recursive: true });
  await mkdir(join(nas, 'fs1/output'), { recursive: true });
  await mkdir(join(images, 'plain/bin'), { recursive: true });
  await writeFile(join(nas, 'fs1/toolkit/examples/qwen2/run_mcore_qwen.sh'), LAUNCH_SCRIPT);
  pai = await startPaiLocal({
    ...{ accessKeys: { [KEY.accessKeyId]: KEY.accessKeySecret }, region: 'cn-hangzhou', pace: 30 },
    ...{ stateDirectory: join(root, 'state'), nasDirectory: nas, imagesDirectory: images },
  });
  client = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY });
});

afterAll(async () => {
  await pai?.close();
  await rm(root, { recursive: true, force: true });
});

/** Six iterations of 2 × 8 tokens, a checkpoint at every third. */
const spec = (environment: Record<string, string> = {}): CptRunSpecInput => ({
  model: 'qwen2-tiny',
  hyperParameters: {
    ...{ job_name: 'tiny', batch_size: 1, global_batch_size: 2, sequence_length: 8 },
    ...{ train_tokens: 96, warmup_tokens: 16, save_interval: 3 },
  },
  parallel: { tensorParallelSize: 2, pipelineParallelSize: 2 },
  data: { train: '/mnt/data/dataset' },
  dataSources: [{ uri: 'nas://fs1.cn-hangzhou/toolkit', mountPath: '/mnt/toolkit' }],
  output: { uri: 'nas://fs1.cn-hangzhou/output', mountPath: '/mnt/output' },
  compute: { nodes: 2, gpusPerNode: 2, ecsSpec: 'ecs.local.2x' },
  image: 'pai-local/plain:latest',
  environment: { PAI_MEGATRON_PATCH: '/mnt/toolkit', ...environment },
});

async function follow(jobId: string): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of client.jobs.follow(jobId, { pollMs: 60, signal: AbortSignal.timeout(30_000) })) {
    events.push(event);
  }
  return events;
}

it('submits a job, follows it to its end, lists and deletes it', async () => {
  const job = await client.jobs.submit(spec());
  const events = await follow(job.jobId);

  const numbers = events.flatMap((event) => (event.type === 'iteration' ? [event.iteration] : []));
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6]);
  const first = events.find((event) => event.type === 'iteration');
  expect(first).toMatchObject({
    trainIterations: 6,
    consumedSamples: 2,
    lmLoss: 2.8,
    learningRate: 5e-5,
    globalBatchSize: 2,
  });
  expect(events.flatMap((event) => (event.type === 'checkpoint-saved' ? [event.iteration] : []))).toEqual([3, 6]);
  expect(events.find((event) => event.type === 'validation')).toMatchObject({ iteration: 6, lmLoss: 2.4 });
  const phases = events.flatMap((event) => (event.type === 'phase-change' ? [event.phase] : []));
  expect(phases[0]).toBe('pending');
  expect(phases.slice(-2)).toEqual(['running', 'succeeded']);
  expect(events.at(-1)).toMatchObject({ type: 'end', phase: 'succeeded' });

  const ended = await client.jobs.get(job.jobId);
  expect(ended).toMatchObject({ phase: 'succeeded', displayName: expect.stringMatching(/^tiny-cpt-[0-9a-f]{12}$/) });
  expect(ended.pods.map(({ type }) => type)).toEqual(['Master', 'Worker']);
  const listed: string[] = [];
  for await (const { jobId } of client.jobs.list({ displayName: 'TIN' })) listed.push(jobId);
  expect(listed).toContain(job.jobId);
  expect(await client.jobs.stop(job.jobId)).toMatchObject({ phase: 'succeeded' });
  await client.jobs.delete(job.jobId);
  await expect(client.jobs.get(job.jobId)).rejects.toMatchObject({
    code: 'CPT_PAI_NOT_FOUND',
    details: { status: 404 },
  });
});

it('tells why a job failed', async () => {
  const { jobId } = await client.jobs.submit(spec({ EXIT_CODE: '3' }));
  const events = await follow(jobId);
  expect(events.at(-1)).toMatchObject({ type: 'end', phase: 'failed' });
  expect(events.filter((event) => event.type === 'iteration')).toHaveLength(6);
});

it('stops a job that runs', async () => {
  const { jobId } = await client.jobs.submit({
    ...spec(),
    hyperParameters: { ...spec().hyperParameters, train_tokens: 160_000 },
  });
  for await (const event of client.jobs.follow(jobId, { pollMs: 40 })) if (event.type === 'iteration') break;
  expect((await client.jobs.stop(jobId)).phase).toMatch(/running|stopped/);
  expect(await client.jobs.wait(jobId, { timeoutMs: 20_000, pollMs: 50 })).toMatchObject({ phase: 'stopped' });
});

it('stops a job at a first loss that is not the base model’s', async () => {
  const { jobId } = await client.jobs.submit({
    ...spec(),
    hyperParameters: { ...spec().hyperParameters, train_tokens: 160_000 },
  });
  const options = { detector: { isContinued: true, referenceLoss: 1.5 }, stopOn: ['A3'] as const, pollMs: 40 };
  const told: string[] = [];
  for await (const event of client.jobs.watch(jobId, { ...options, signal: AbortSignal.timeout(30_000) })) {
    if (event.type === 'incident') told.push(`${event.change} ${event.incident.id}`);
    if (event.type === 'stop-requested') told.push(`stop ${event.rule}`);
    if (event.type === 'end') told.push(event.phase);
  }
  expect(told).toEqual(['opened wrong-start-1', 'stop A3', 'stopped']); // 2.8 > max(1.5 + 0.5, 1.25 × 1.5)
});

it('is refused with a wrong secret', async () => {
  const stranger = new CptClient({
    ...{ regionId: 'cn-hangzhou', endpoint: pai.url },
    credential: { ...KEY, accessKeySecret: 'another-secret' },
  });
  const error = await stranger.jobs.get('dlc1').catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'CPT_PAI_SIGNATURE' });
  expect(String(error)).not.toContain('another-secret');
});

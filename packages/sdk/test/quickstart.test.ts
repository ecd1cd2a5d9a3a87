import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CptClient, type CptRunSpecInput } from '../src/index.ts';
import { localFolder } from '../src/node.ts';

/**
 * The QuickStart journey against a server that shares no code with the client: card → algorithm → CreateTrainingJob. The job
 * runs for real, with what Studio passes to a container; a script prints Megatron's lines in place of the toolkit.
 */
const KEY = { accessKeyId: 'local-id', accessKeySecret: 'local-secret' };
const CARD = 'Qwen2-Tiny-Pre-trained (Megatron Edition)';
const LAUNCH_SCRIPT = `set -e
[ -f "\${21}.bin" ] && [ -f "\${21}.idx" ] || { echo "no \${21}"; exit 3; }
iterations=$((\${24} / $4 / $7))
for i in $(seq 1 $iterations); do
  printf ' [2026-11-24 00:00:%02d] iteration %8d/%8d | consumed samples: %12d | learning rate: %s | lm loss: 2.%d00000E+00 | grad norm: 1.000 | number of nan iterations:   0 |\\n' $i $i $iterations $((i * $4)) "$5" $((9 - i))
  sleep 0.02
done
mkdir -p "\${26}/checkpoint/run" && echo $iterations > "\${26}/checkpoint/run/latest_checkpointed_iteration.txt"
exec sleep "\${LINGER:-0}"
`;

let root: string;
let pai: PaiLocal;
let client: CptClient;
let outputId: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sdk-quickstart-'));
  const [nas, images] = [join(root, 'nas'), join(root, 'images')];
  const toolkit = join(images, 'tiny-megatron/Pai-Megatron-Patch/examples/qwen2');
  await mkdir(toolkit, { recursive: true });
  await mkdir(join(nas, 'fs1/corpus'), { recursive: true });
  await mkdir(join(nas, 'fs1/output'), { recursive: true });
  await writeFile(join(toolkit, 'run_mcore_qwen.sh'), LAUNCH_SCRIPT);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholder is spelled like this in env.json
  const env = { PAI_MEGATRON_PATCH: '${IMAGE}/Pai-Megatron-Patch' };
  await writeFile(join(images, 'tiny-megatron/env.json'), JSON.stringify(env));
  for (const suffix of ['bin', 'idx']) await writeFile(join(nas, `fs1/corpus/dataset.${suffix}`), 'x'.repeat(40));
  pai = await startPaiLocal({
    ...{ accessKeys: { [KEY.accessKeyId]: KEY.accessKeySecret }, region: 'cn-hangzhou', pace: 20 },
    ...{ stateDirectory: join(root, 'state'), nasDirectory: nas, imagesDirectory: images },
  });
  client = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY, workspaceId: '10001' });
  outputId = (await client.datasets.register({ name: 'output', uri: 'nas://fs1.cn-hangzhou/output' })).datasetId;
});
afterAll(async () => {
  await pai?.close();
  await rm(root, { recursive: true, force: true });
});

/** Six iterations of 2 × 8 tokens. */
const spec = (parts: Partial<CptRunSpecInput> = {}): CptRunSpecInput => ({
  ...{ model: 'qwen2-tiny', route: 'quickstart', quickstart: { card: CARD } },
  hyperParameters: {
    ...{ job_name: 'tiny', batch_size: 1, global_batch_size: 2, sequence_length: 8, learning_rate: 1e-4 },
    ...{ train_tokens: 96, warmup_tokens: 16, save_interval: 3 },
  },
  data: { train: '/mnt/data/dataset' },
  dataSources: [{ uri: 'nas://fs1.cn-hangzhou/corpus', mountPath: '/mnt/data' }],
  output: { datasetId: outputId, mountPath: '/mnt/output' },
  compute: { nodes: 1, gpusPerNode: 1, ecsSpec: 'ecs.local.1x' },
  ...parts,
});

it('trains a card of the Model Gallery, is followed to its end, and adopted by its key', async () => {
  const folder = localFolder(join(root, 'nas/fs1/corpus'));
  expect(await client.datasets.check('nas://fs1.cn-hangzhou/corpus/', folder)).toMatchObject({ isUsable: true });

  const timing = { firstPollMs: 20, confirmMs: 1100 };
  const job = await client.jobs.submit(spec(), { key: 'quickstart-1', timing, force: true });
  expect(job).toMatchObject({ submission: { how: 'created' } });
  expect(job.jobId).toMatch(/^train/);
  const told: string[] = [];
  const iterations: unknown[] = [];
  for await (const event of client.jobs.follow(job.jobId, { pollMs: 40, signal: AbortSignal.timeout(50_000) })) {
    if (event.type === 'iteration') iterations.push([event.iteration, event.lmLoss, event.learningRate]);
    if (event.type === 'phase-change') told.push(event.status);
    if (event.type === 'end') told.push(event.phase);
  }
  expect(iterations).toEqual([1, 2, 3, 4, 5, 6].map((number) => [number, Number(`2.${9 - number}`), 1e-4]));
  expect(told.slice(-3)).toEqual(['Running', 'Succeed', 'succeeded']);
  // Checkpoints land in the sub-folder "checkpoint" of the NAS data set.
  expect(await readdir(join(root, 'nas/fs1/output/checkpoint/run'))).toEqual(['latest_checkpointed_iteration.txt']);

  // The algorithm of the card tells PAI how to find the loss in the log.
  const reported: unknown[] = [];
  for await (const { name, value } of client.jobs.reportedMetrics(job.jobId)) reported.push([name, value]);
  for (const number of [1, 6])
    expect(reported).toContainEqual([expect.stringMatching(/loss/), Number(`2.${9 - number}`)]);
  await expect(client.jobs.resume(job.jobId, spec())).rejects.toMatchObject({
    ...{ code: 'CPT_INPUT_JOB_RESUME', message: expect.stringContaining('use the route "dlc"') },
  });

  const again = await client.jobs.submit(spec(), { key: 'quickstart-1', timing, force: true });
  expect(again).toMatchObject({ jobId: job.jobId, phase: 'succeeded' });
  // Another client with a memory of its own finds the job in PAI by its mark.
  const other = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY, workspaceId: '10001' });
  const adopted = await other.jobs.submit(spec(), { key: 'quickstart-1', timing, force: true });
  expect(adopted).toMatchObject({ jobId: job.jobId, submission: { how: 'adopted' } });
  const listed: string[] = [];
  for await (const { jobId } of client.jobs.list({ route: 'all', displayName: 'TINY' })) listed.push(jobId);
  expect(listed).toEqual([job.jobId]);
});

it('row 46: finds the training job whose creation was not answered', async () => {
  pai.faults.set({ seed: 1, rules: [{ fault: 'drop', action: 'CreateTrainingJob', commits: true, times: 1 }] });
  const timing = { firstPollMs: 20, confirmMs: 1100 };
  const job = await client.jobs.submit(spec(), { key: 'quickstart-lost', timing, force: true });
  expect(pai.faults.counts()).toMatchObject([{ struck: 1 }]);
  expect(job.submission.how).toBe('adopted');
  const made: string[] = [];
  for await (const { jobId, displayName } of client.jobs.list({ route: 'quickstart' })) {
    if (displayName === job.displayName) made.push(jobId);
  }
  expect(made).toEqual([job.jobId]);
  expect(await client.jobs.wait(job.jobId, { timeoutMs: 50_000, pollMs: 40 })).toMatchObject({ phase: 'succeeded' });
});

it('stops a training job', async () => {
  const job = await client.jobs.submit(spec({ environment: { LINGER: '60' } }), { force: true });
  for await (const event of client.jobs.follow(job.jobId, { pollMs: 40 })) if (event.type === 'iteration') break;
  if (process.platform === 'linux') {
    const read = () => client.jobs.metrics(job.jobId, { metrics: ['MemoryUsage'], stepSeconds: 10 });
    await expect.poll(async () => (await read())[0]?.points.length, { timeout: 20_000 }).toBeGreaterThan(0);
    const [memory] = await read();
    expect(memory).toMatchObject({ podId: expect.stringMatching(/-master-0$/), metric: 'MemoryUsage' });
    expect(memory?.points[0]?.value).toBeGreaterThan(0);
  }
  await client.jobs.stop(job.jobId);
  const ended = await client.jobs.wait(job.jobId, { timeoutMs: 50_000, pollMs: 40 });
  expect(ended).toMatchObject({ phase: 'stopped', status: 'Terminated' });
  await client.jobs.delete(job.jobId);
  await expect(client.jobs.get(job.jobId)).rejects.toMatchObject({ code: 'CPT_PAI_NOT_FOUND' });
});

it('is refused before anything is created when the algorithm does not allow it', async () => {
  const refused = client.jobs.submit(spec({ quickstart: { card: CARD, hyperParameters: { lr: '1' } } }), {
    force: true,
  });
  await expect(refused).rejects.toThrow(/\/quickstart\/hyperParameters\/lr is no hyper-parameter of the algorithm/);
});

it('plans with the free GPUs of a quota, registers models, and knows the workspace', async () => {
  const compute = { nodes: 8, gpusPerNode: 8, quotaId: 'quotalocalecs32' };
  const { facts, unreached } = await client.gatherFacts(spec({ compute }));
  expect([facts.platform?.quotaGpus, unreached]).toEqual([32, []]);
  expect(await client.workspaces.activation()).toMatchObject({ isActivated: true });
  const converted = join(root, 'nas/fs1/hf');
  await mkdir(converted, { recursive: true });
  await writeFile(join(converted, 'config.json'), '{}');
  const input = {
    ...{ name: 'law', uri: 'nas://fs1.cn-hangzhou/hf/', folder: localFolder(converted) },
    lineage: { jobId: 'train1', iteration: 6 },
  };
  await expect(client.models.register(input)).rejects.toMatchObject({ code: 'CPT_INPUT_CHECKPOINT_MISSING' });
  await writeFile(join(converted, 'model.safetensors'), 'weights');
  const first = await client.models.register(input);
  const second = await client.models.register(input);
  expect([first.version, second.version, second.modelId]).toEqual(['0.1.0', '0.2.0', first.modelId]);
  const versions: unknown[] = [];
  for await (const version of client.models.versions(first))
    versions.push([version.version, version.lineage.iteration]);
  expect(versions).toEqual([
    ['0.2.0', 6],
    ['0.1.0', 6],
  ]);
});

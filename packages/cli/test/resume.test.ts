import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildDataset } from '@pai-cpt/mmap';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { CptClient, type CptRunSpecInput, detectorConfigOf, parseRunSpec, type WatchEvent } from '@pai-cpt/sdk';
import { localTree } from '@pai-cpt/sdk/node';
import { afterAll, beforeAll, expect, it } from 'vitest';

/** A real training that is killed, and `cpt resume` as a user runs it. */

const SECRET = 'canary-secret';
const cli = join(import.meta.dirname, '../bin/cpt.js');
const fixtures = join(import.meta.dirname, '../../../fixtures');
/** More than are trained before the kill, and few enough to be trained to the end. */
const ITERATIONS = 150;
const [BATCH, LENGTH] = [4, 32];

let root: string;
let pai: PaiLocal;
let client: CptClient;
let specPath: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cpt-resume-'));
  pai = await startPaiLocal({
    ...{ accessKeys: { 'test-id': SECRET }, pace: 30 },
    ...{ stateDirectory: join(root, 'pai'), nasDirectory: join(root, 'nas') },
  });
  const credential = { accessKeyId: 'test-id', accessKeySecret: SECRET };
  client = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential });
  specPath = join(root, 'spec.json');
  writeFileSync(specPath, JSON.stringify(SPEC));
  await buildDataset({
    ...{ inputs: [join(fixtures, 'corpus/chinese.jsonl')], tokenizer: join(fixtures, 'tokenizer') },
    output: join(root, 'nas/fs1/data/dataset'),
  });
});
afterAll(async () => {
  await pai?.close();
  rmSync(root, { recursive: true, force: true });
});

const SPEC: CptRunSpecInput = {
  model: 'qwen2-tiny',
  hyperParameters: {
    ...{ job_name: 'tiny', batch_size: 2, global_batch_size: BATCH, sequence_length: LENGTH },
    ...{ learning_rate: 2e-3, min_learning_rate: 2e-4, save_interval: 10 },
    ...{ train_tokens: ITERATIONS * BATCH * LENGTH, warmup_tokens: 5 * BATCH * LENGTH },
  },
  parallel: { tensorParallelSize: 2, pipelineParallelSize: 2 },
  data: { train: '/mnt/data/dataset' },
  dataSources: [{ uri: 'nas://fs1.cn-hangzhou/data', mountPath: '/mnt/data' }],
  output: { uri: 'nas://fs1.cn-hangzhou/output', mountPath: '/mnt/output' },
  compute: { nodes: 2, gpusPerNode: 2, ecsSpec: 'ecs.local.2x' },
  image: 'pai-local/tiny-megatron:latest',
  environment: { HF_TOKEN: 'canary-token' },
};

function cpt(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    ...{ NO_COLOR: '1', CPT_STATE_DIR: join(root, 'state'), PAI_ENDPOINT: pai.url },
    ...{ ALIBABA_CLOUD_ACCESS_KEY_ID: 'test-id', ALIBABA_CLOUD_ACCESS_KEY_SECRET: SECRET },
  };
  const child = spawn(process.execPath, [cli, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...said }));
  });
}

/** Kills one trainer of this test from outside, as the kernel does when memory is short. */
function killOneTrainer(): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (!command.includes('tiny-trainer/main.js') || !command.includes(root)) continue;
      process.kill(Number(pid), 'SIGKILL');
      return;
    } catch {
      // it ended meanwhile
    }
  }
  throw new Error('no trainer runs');
}

const linesOf = (events: readonly WatchEvent[]) =>
  events.flatMap((event) => (event.type === 'iteration' ? [event] : []));

it.skipIf(process.platform !== 'linux')(
  'a run that was killed goes on from its newest complete checkpoint',
  async () => {
    const { jobId } = await client.jobs.submit(SPEC, { force: true });
    const first: WatchEvent[] = [];
    const signal = AbortSignal.timeout(90_000);
    let isKilled = false;
    for await (const event of client.jobs.watch(jobId, { pollMs: 50, signal })) {
      first.push(event);
      if (event.type !== 'checkpoint-saved' || isKilled) continue;
      isKilled = true;
      killOneTrainer();
    }
    expect(first.at(-1)).toMatchObject({ type: 'end', phase: 'failed' });
    expect(first.find((event) => event.type === 'failure')?.failure).toMatchObject({ cause: 'host-oom' });

    const explained = await cpt('explain', jobId);
    expect(explained.stdout).toMatch(/^failed: .* \(host-oom\)/);
    const metrics = await cpt('metrics', jobId, '--metric', 'CpuCoreUsage', '--json');
    expect(
      metrics.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).metric),
    ).toEqual(['CpuCoreUsage', 'CpuCoreUsage']);

    // A save that died after the tracker was written, as a copy or a full disk makes it.
    const output = join(root, 'nas/fs1/output');
    const [folder = ''] = readdirSync(join(output, 'checkpoint'));
    const run = join(output, 'checkpoint', folder);
    mkdirSync(join(run, 'iter_0000149/mp_rank_00_000'), { recursive: true });
    writeFileSync(join(run, 'iter_0000149/mp_rank_00_000/model_optim_rng.pt'), 'cut');
    writeFileSync(join(run, 'latest_checkpointed_iteration.txt'), '149');

    const truth = await client.jobs.restartTruth(jobId, SPEC, { output: localTree(output) });
    const saved = truth.checkpoint?.iteration as number;
    expect(saved % 10).toBe(0);
    expect(truth).toMatchObject({ outcome: 'from-base', lostIterations: linesOf(first).at(-1)?.iteration });
    expect(truth.notes.join()).toContain('iteration 149 is not complete');

    const dry = await cpt('resume', jobId, '--spec', specPath, '--output', output, '--dry-run');
    expect(dry.code, dry.stderr).toBe(0);
    expect(dry.stdout).toContain(`goes on from iteration ${saved} in /mnt/output/checkpoint/${folder}`);
    expect(dry.stdout).toMatch(/lost {2}optimizer/);
    expect(dry.stdout).toContain('a restart of this job begins again at iteration 0');

    const keptSpec = join(root, 'resumed.json');
    const resumed = await cpt(
      'resume',
      jobId,
      '--spec',
      specPath,
      '--output',
      output,
      '--force',
      '--json',
      '--write-spec',
      keptSpec,
    );
    expect(resumed.code, resumed.stderr).toBe(0);
    const job = JSON.parse(resumed.stdout);
    const spec = parseRunSpec(JSON.parse(readFileSync(keptSpec, 'utf8')));
    expect(spec.tags).toMatchObject({ 'cpt-resumed-from': jobId, 'cpt-resumed-at': String(saved) });
    for (const text of [dry.stdout, resumed.stdout, resumed.stderr]) expect(text).not.toContain('canary');
    const second: WatchEvent[] = [];
    const options = { pollMs: 50, signal, detector: { ...detectorConfigOf(spec), vocabSize: 1003, referenceLoss: 7 } };
    for await (const event of client.jobs.watch(job.jobId, options)) second.push(event);
    expect(second.at(-1)).toMatchObject({ type: 'end', phase: 'succeeded' });

    const lines = linesOf(second);
    expect(lines.map(({ iteration }) => iteration)).toEqual(
      Array.from({ length: ITERATIONS - saved }, (_, index) => saved + 1 + index),
    );
    expect(lines[0]?.consumedSamples).toBe((saved + 1) * BATCH);
    expect(second.find((event) => event.type === 'checkpoint-loaded')).toMatchObject({ iteration: saved });
    // The loss goes on where it was: the same samples through the same weights where the first run came so far.
    const before = linesOf(first);
    const same = before.find(({ iteration }) => iteration === saved + 1);
    const distance = Math.abs((lines[0]?.lmLoss as number) - ((same ?? before.at(-1))?.lmLoss as number));
    expect(distance).toBeLessThan(same ? 0.02 : 0.5);
    // The learning rate goes on as if nothing had happened: 5 iterations of warm-up, then one cosine over all of them.
    for (const { iteration, learningRate } of lines) {
      const share = (iteration - 5) / (ITERATIONS - 5);
      expect(learningRate).toBeCloseTo(2e-4 + 0.5 * 1.8e-3 * (1 + Math.cos(Math.PI * share)), 8);
    }
    // E1 knows that schedule; nothing was taken for a wrong start or a lost one.
    const kinds = second.flatMap((event) => (event.type === 'incident' ? [event.incident.kind] : []));
    expect(kinds.filter((kind) => ['learning-rate', 'wrong-start', 'lost-progress'].includes(kind))).toEqual([]);
    expect(await client.jobs.get(job.jobId)).toMatchObject({ phase: 'succeeded' });

    const again = await cpt('resume', jobId, '--spec', specPath, '--output', output, '--force');
    expect(again.stdout.trim()).toBe(job.jobId); // continued once, however often it is asked
    const other = join(root, 'other.json');
    writeFileSync(other, JSON.stringify({ ...SPEC, hyperParameters: { ...SPEC.hyperParameters, batch_size: 1 } }));
    const refused = await cpt('resume', jobId, '--spec', other, '--output', output, '--dry-run');
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('CPT_INPUT_JOB_RESUME') });
  },
  120_000,
);

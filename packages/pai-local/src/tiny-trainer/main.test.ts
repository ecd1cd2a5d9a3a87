import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertCheckpoint, openMegatronCheckpoint, verifyCheckpoint } from '@pai-cpt/ckpt-convert';
import { buildDataset } from '@pai-cpt/mmap';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { findFreePort } from '../host.ts';

const fixtures = join(import.meta.dirname, '../../../../fixtures');
const examples = join(import.meta.dirname, '../../images/tiny-megatron/Pai-Megatron-Patch/examples/qwen2');

let folder: string;
let data: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tiny-trainer-'));
  data = join(folder, 'data/dataset');
  await buildDataset({
    inputs: [join(fixtures, 'corpus/chinese.jsonl')],
    tokenizer: join(fixtures, 'tokenizer'),
    output: data,
    heldOut: 0.03,
  });
});
afterAll(() => rm(folder, { recursive: true }));

/** More than a test waits for, and few enough to end by themselves soon if the test is killed. */
const MANY = 2000;

const running: ChildProcess[] = [];
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

interface Pod {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  /** Exit code, or the signal that ended it. */
  readonly exited: Promise<number | string>;
}

interface JobOptions {
  readonly iterations: number;
  readonly saveInterval: number;
  readonly load?: string;
  readonly dataset?: string;
  readonly validation?: string;
}

/**
 * Two pods, as pai-local runs a job's command: a shell in each, and what DLC sets in its environment. The shell is
 * replaced by the trainer here, so that a signal to one process is a signal to the pod.
 */
async function startJob({ iterations, saveInterval, load = 'none', dataset = data, validation = 'none' }: JobOptions) {
  const output = await mkdtemp(join(folder, 'output-'));
  const [batch, length] = [4, 32];
  const tokens = iterations * batch * length;
  const command = `cd \${PAI_MEGATRON_PATCH:-/workspace/Pai-Megatron-Patch}/examples/qwen2 && exec bash run_mcore_qwen.sh dlc tiny 2 ${batch} 5e-3 5e-4 ${length} 128 bf16 2 2 1 1 true true true false sel false ${saveInterval} ${dataset} ${validation} ${load} ${tokens} 0 ${output}`;
  const port = await findFreePort();
  const pods = [0, 1].map((rank): Pod => {
    const env = {
      PATH: process.env.PATH,
      PAI_MEGATRON_PATCH: join(examples, '../..'),
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: String(port),
      WORLD_SIZE: '2',
      RANK: String(rank),
    };
    const child = spawn('/bin/sh', ['-c', command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    running.push(child);
    const text = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => {
      text.stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      text.stderr += chunk;
    });
    return { child, output: text, exited: once(child, 'close').then(([code, signal]) => code ?? signal) };
  });
  return { master: pods[0] as Pod, worker: pods[1] as Pod, output };
}

/** Returns once the log has this text. */
async function seen(pod: Pod, text: string): Promise<void> {
  while (!pod.output.stdout.includes(text)) {
    if (pod.child.exitCode !== null) throw new Error(`the pod ended: ${pod.output.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const exitCodes = ({ master, worker }: { master: Pod; worker: Pod }) => Promise.all([master.exited, worker.exited]);

describe('two pods', () => {
  it('train one model and save rank files that convert to what they validated', async () => {
    const job = await startJob({ iterations: 6, saveInterval: 4, validation: `${data}_valid` });
    expect(await exitCodes(job), job.worker.output.stderr).toEqual([0, 0]);
    expect([job.master.output.stderr, job.worker.output.stderr]).toEqual(['', '']);

    const [name = ''] = await readdir(join(job.output, 'checkpoint'));
    expect(name).toBe(
      'pretrain-mcore-qwen2-tiny-lr-5e-3-minlr-5e-4-bs-2-gbs-4-seqlen-32-pr-bf16-tp-2-pp-2-cp-1-ac-sel-do-true-sp-true-ti-6-wi-0',
    );
    const root = join(job.output, 'checkpoint', name);
    const log = job.worker.output.stdout.split('\n').slice(1);
    const iterations = log.filter((line) => /^ \[.*\] iteration/.test(line));
    expect(iterations).toHaveLength(6);
    expect(iterations[5]).toMatch(
      /^ \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] iteration {8}6\/ {7}6 \| consumed samples: {11}24 \| elapsed time per iteration \(ms\): \d+\.\d \| learning rate: 5\.000000E-04 \| global batch size: {5}4 \| lm loss: 6\.\d{6}E\+00 \| loss scale: 1\.0 \| grad norm: \d\.\d{3} \| number of skipped iterations: {3}0 \| number of nan iterations: {3}0 \|$/,
    );
    // As in Megatron, the first rank tells of saves and the last of losses.
    const masterLog = job.master.output.stdout.split('\n').slice(1);
    expect(masterLog.filter((line) => line.includes('checkpoint'))).toEqual([
      `saving checkpoint at iteration       4 to ${root} in torch format`,
      `  successfully saved checkpoint from iteration       4 to ${root} [ t 1/2, p 1/2 ]`,
      `saving checkpoint at iteration       6 to ${root} in torch format`,
      `  successfully saved checkpoint from iteration       6 to ${root} [ t 1/2, p 1/2 ]`,
    ]);
    const validated = Number(
      /validation loss at iteration 6 on validation set \| lm loss value: (\S+)/.exec(log.join())?.[1],
    );
    expect(log.join()).not.toContain('saving checkpoint');
    expect(masterLog.join()).not.toContain('lm loss');

    expect(await readFile(join(root, 'latest_checkpointed_iteration.txt'), 'utf8')).toBe('6');
    expect((await readdir(root)).sort()).toEqual(['iter_0000004', 'iter_0000006', 'latest_checkpointed_iteration.txt']);
    const checkpoint = await openMegatronCheckpoint(root);
    expect(checkpoint).toMatchObject({
      iteration: 6,
      parallel: { tensorParallelSize: 2, pipelineParallelSize: 2 },
      layersPerStage: [2, 2],
      paddedVocabSize: 1024,
      problems: [],
      modelConfig: { family: 'qwen2', layers: 4, hiddenSize: 64, vocabSize: 1003, isTied: false, hasQkvBias: true },
    });
    await checkpoint.close();

    const hf = join(folder, 'hf');
    await convertCheckpoint({ source: root, output: hf, tokenizer: join(fixtures, 'tokenizer') });
    const report = await verifyCheckpoint({ hf, against: root, run: true, data: `${data}_valid`, sequenceLength: 32 });
    expect(report.ok).toBe(true);
    expect(report.validationLoss?.hf).toBeCloseTo(validated, 2);
  });

  it('stop after the iteration when one is told to, and save nothing more', async () => {
    const job = await startJob({ iterations: MANY, saveInterval: MANY });
    await seen(job.worker, 'iteration        3/');
    job.master.child.kill('SIGTERM');
    expect(await exitCodes(job)).toEqual([143, 143]);
    const last = job.master.output.stdout.trimEnd().split('\n').at(-1);
    expect(last).toMatch(/^\[exiting program after receiving SIGTERM\.\] datetime: /);
    expect(job.master.output.stdout).not.toContain('saving checkpoint');
  });

  it('fail with the name of the one that was lost', async () => {
    const job = await startJob({ iterations: MANY, saveInterval: MANY });
    await seen(job.worker, 'iteration        3/');
    job.worker.child.kill('SIGKILL');
    expect(await job.master.exited).toBe(1);
    expect(job.master.output.stderr).toMatch(
      /^error: rank 0, (gradients|losses) of iteration \d+: .*rank 1.* \[CPT_TRAIN_PEER_LOST\]\n$/,
    );
  });

  it('say that they start from random values when there is nothing to load', async () => {
    const job = await startJob({ iterations: 1, saveInterval: 1, load: join(folder, 'no-base') });
    expect(await exitCodes(job)).toEqual([0, 0]);
    expect(job.master.output.stdout).toContain(
      `WARNING: could not find the metadata file ${folder}/no-base/latest_checkpointed_iteration.txt \n    will not load any checkpoints and will start from random\n`,
    );
  });

  it('go on from a checkpoint: its weights, iteration and place in the data, the learning rate anew', async () => {
    const first = await startJob({ iterations: 12, saveInterval: 8 });
    expect(await first.master.exited).toBe(0);
    const [name] = await readdir(join(first.output, 'checkpoint'));
    const base = join(first.output, 'checkpoint', name as string);
    // A tracker that names the checkpoint before the last, as after a run that died while it saved.
    await writeFile(join(base, 'latest_checkpointed_iteration.txt'), '8');
    const again = await startJob({ iterations: 12, saveInterval: 12, load: base });
    expect(await again.worker.exited).toBe(0);
    expect(again.master.output.stdout).toContain(
      `  successfully loaded checkpoint from ${base} [ t 1/2, p 1/2 ] at iteration 8\n`,
    );
    const losses = (text: string) =>
      new Map(
        [...text.matchAll(/iteration +(\d+)\/.*consumed samples: +(\d+).*lm loss: (\S+)/g)].map(([, i, s, l]) => [
          Number(i),
          [Number(s), Number(l)] as const,
        ]),
      );
    const [before, after] = [losses(first.worker.output.stdout), losses(again.worker.output.stdout)];
    expect([...after.keys()]).toEqual([9, 10, 11, 12]);
    expect(after.get(9)?.[0]).toBe(before.get(9)?.[0]);
    // The same samples through the same weights, apart from their rounding to bf16.
    expect(Math.abs((after.get(9)?.[1] as number) - (before.get(9)?.[1] as number))).toBeLessThan(0.01);
  });

  it('refuse a dataset without the facts of its tokenizer', async () => {
    const bare = join(folder, 'bare');
    for (const end of ['bin', 'idx']) await copyFile(`${data}.${end}`, `${bare}.${end}`);
    const job = await startJob({ iterations: 1, saveInterval: 1, dataset: bare });
    expect(await exitCodes(job)).toEqual([2, 2]);
    expect(job.master.output.stderr).toContain(`${bare}.json: does not exist; cpt-mmap build writes it`);
    const facts = JSON.parse(await readFile(`${data}.json`, 'utf8'));
    await writeFile(`${bare}.json`, JSON.stringify({ ...facts, maxId: facts.tokenizer.vocabSize }));
    const wrong = await startJob({ iterations: 1, saveInterval: 1, dataset: bare });
    expect(await exitCodes(wrong)).toEqual([2, 2]);
    expect(wrong.master.output.stderr).toContain('the largest token id is 1003, the tokenizer has 1003 ids');
  });
});

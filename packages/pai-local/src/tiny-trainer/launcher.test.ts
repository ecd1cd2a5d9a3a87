import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseTrainerOptions } from './options.ts';

const images = join(import.meta.dirname, '../../images');
const script = join(images, 'tiny-megatron/Pai-Megatron-Patch/examples/qwen2/run_mcore_qwen.sh');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'launcher-'));
  // Stands in for node on PATH: writes down what it is called with.
  await writeFile(join(folder, 'node'), '#!/bin/sh\nprintf "%s\\n" "$@" > "$ARGUMENTS"\nenv > "$ARGUMENTS.env"\n');
  await chmod(join(folder, 'node'), 0o755);
});
afterAll(() => rm(folder, { recursive: true }));

/** The 26 arguments of the specification, in its order. */
const ARGUMENTS = {
  ENV: 'dlc',
  MODEL_SIZE: 'tiny',
  BATCH_SIZE: '8',
  GLOBAL_BATCH_SIZE: '16',
  LR: '5e-3',
  MIN_LR: '5e-4',
  SEQ_LEN: '128',
  PAD_LEN: '128',
  PR: 'bf16',
  TP: '2',
  PP: '2',
  CP: '1',
  EP: '1',
  SP: 'true',
  DO: 'true',
  FL: 'true',
  SFT: 'false',
  AC: 'sel',
  OPTIMIZER_OFFLOAD: 'false',
  SAVE_INTERVAL: '100',
  DATASET_PATH: '/nas/data/dataset',
  VALID_DATASET_PATH: '/nas/data/dataset_valid',
  PRETRAIN_CHECKPOINT_PATH: 'none',
  TRAIN_TOKENS: '819200',
  WARMUP_TOKENS: '81920',
  OUTPUT_BASEPATH: '',
};

async function launch(changes: Partial<typeof ARGUMENTS> = {}, env: Record<string, string> = {}) {
  const output = await mkdtemp(join(folder, 'output-'));
  const file = join(output, 'arguments');
  const pod = { MASTER_ADDR: '127.0.0.1', MASTER_PORT: '23456', WORLD_SIZE: '2', RANK: '1' };
  const path = [folder, '/usr/bin', '/bin'].join(delimiter);
  const given = Object.values({ ...ARGUMENTS, OUTPUT_BASEPATH: output, ...changes });
  const result = await new Promise<{ code: number; stderr: string; stdout: string }>((resolve) => {
    execFile(
      'bash',
      [script, ...given],
      { env: { PATH: path, ARGUMENTS: file, ...pod, ...env } },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stderr, stdout }),
    );
  });
  if (result.code !== 0) return { ...result, output, main: '', args: [], env: '' };
  const [main = '', ...args] = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return { ...result, output, main, args, env: await readFile(`${file}.env`, 'utf8') };
}

describe('run_mcore_qwen.sh', () => {
  it("derives iterations by integer division, and calls the trainer with Megatron's options", async () => {
    const { main, args, output, stdout } = await launch();
    expect(main).toBe(join(import.meta.dirname, '../../dist/tiny-trainer/main.js'));
    const name =
      'pretrain-mcore-qwen2-tiny-lr-5e-3-minlr-5e-4-bs-8-gbs-16-seqlen-128-pr-bf16-tp-2-pp-2-cp-1-ac-sel-do-true-sp-true-ti-400-wi-40';
    expect(parseTrainerOptions(args)).toMatchObject({
      layers: 4,
      hiddenSize: 64,
      ffnHiddenSize: 176,
      heads: 4,
      queryGroups: 2,
      headDim: 16,
      normEpsilon: 1e-6,
      ropeTheta: 1_000_000,
      isTied: false,
      hasQkvBias: true,
      microBatchSize: 8,
      globalBatchSize: 16,
      sequenceLength: 128,
      trainIterations: 400,
      warmupIterations: 40,
      decayIterations: 400,
      learningRate: 5e-3,
      minLearningRate: 5e-4,
      tensorParallelSize: 2,
      pipelineParallelSize: 2,
      saveInterval: 100,
      saveDirectory: join(output, 'checkpoint', name),
      loadDirectory: undefined,
      dataPath: '/nas/data/dataset',
      validDataPath: '/nas/data/dataset_valid',
    });
    expect(stdout.trim()).toBe(`torchrun ${args.join(' ')}`);
  });

  it('drops the tokens that do not fill an iteration: first over the batch, then over the length', async () => {
    const { args } = await launch({ TRAIN_TOKENS: '819199', WARMUP_TOKENS: '2047' });
    expect(parseTrainerOptions(args)).toMatchObject({
      trainIterations: 399,
      decayIterations: 399,
      warmupIterations: 0,
    });
  });

  it('calls torchrun as what the command has made of it', async () => {
    const body = '() { command torchrun "$@" --lr-warmup-iters=-30 --lr-warmup-init=2e-5; }';
    const { args } = await launch({}, { 'BASH_FUNC_torchrun%%': body });
    expect(parseTrainerOptions(args)).toMatchObject({ warmupIterations: -30, warmupInit: 2e-5, decayIterations: 400 });
  });

  it('hands paths with spaces on as they are', async () => {
    const { args } = await launch({ DATASET_PATH: '/nas/my data/dataset', PRETRAIN_CHECKPOINT_PATH: '/nas/a base' });
    expect(parseTrainerOptions(args)).toMatchObject({ dataPath: '/nas/my data/dataset', loadDirectory: '/nas/a base' });
  });

  it('is one replica in dsw', async () => {
    const { env } = await launch({ ENV: 'dsw' });
    expect(env).toMatch(/^WORLD_SIZE=1$/m);
    expect(env).toMatch(/^RANK=0$/m);
  });

  it.each([
    [{ MODEL_SIZE: '72B' }, 'MODEL_SIZE is "72B"; this image trains "tiny" only'],
    [{ PR: 'fp16' }, 'PR is "fp16"; here it must be one of: bf16'],
    [{ ENV: 'local' }, 'ENV is "local"; here it must be one of: dlc dsw'],
    [{ SFT: 'true' }, 'SFT is "true"'],
    [{ CP: '2' }, 'CP is "2"'],
    [{ AC: 'some' }, 'AC is "some"; here it must be one of: sel full offload none'],
    [{ GLOBAL_BATCH_SIZE: '0' }, 'GLOBAL_BATCH_SIZE is "0"; it must be a whole number from 1'],
    [{ TRAIN_TOKENS: '1e6' }, 'TRAIN_TOKENS is "1e6"; it must be a whole number'],
    [{ TRAIN_TOKENS: '2047' }, 'TRAIN_TOKENS 2047 / GLOBAL_BATCH_SIZE 16 / SEQ_LEN 128 are 0 iterations'],
  ])('refuses %o', async (changes, message) => {
    const { code, stderr } = await launch(changes);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  it('refuses another number of arguments, a pod without its variables, and what the image cannot do', async () => {
    expect((await launch({}, { MP_VP: '2' })).stderr).toContain('MP_VP is "2"');
    expect((await launch({}, { MASTER_PORT: '' })).stderr).toContain(
      'MASTER_PORT is not set; DLC sets it in every pod',
    );
    const short = await new Promise<string>((resolve) => {
      execFile('bash', [script, 'dlc', 'tiny'], (_error, _stdout, stderr) => resolve(stderr));
    });
    expect(short).toContain('2 arguments; 26 are needed: ENV MODEL_SIZE');
  });
});

describe('env.json', () => {
  it('points the patch folder into the image', async () => {
    const env = JSON.parse(await readFile(join(images, 'tiny-megatron/env.json'), 'utf8'));
    // biome-ignore lint/suspicious/noTemplateCurlyInString: pai-local replaces it by the folder of the image
    expect(env).toEqual({ PAI_MEGATRON_PATCH: '${IMAGE}/Pai-Megatron-Patch' });
  });
});

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run72B } from '../test/sample-specs.ts';
import { megatronArguments, megatronCommand } from './megatron-command.ts';

describe('megatronArguments', () => {
  it('are the 26 of run_mcore_qwen.sh, in its order', () => {
    expect(megatronArguments(run72B())).toEqual([
      'dlc', // 1 ENV
      '72B', // 2 MODEL_SIZE
      '1', // 3 BATCH_SIZE
      '32', // 4 GLOBAL_BATCH_SIZE
      '0.00005', // 5 LR
      '0.000005', // 6 MIN_LR
      '1024', // 7 SEQ_LEN
      '128', // 8 PAD_LEN
      'bf16', // 9 PR
      '8', // 10 TP
      '4', // 11 PP
      '1', // 12 CP
      '1', // 13 EP
      'true', // 14 SP
      'true', // 15 DO
      'true', // 16 FL
      'false', // 17 SFT
      'sel', // 18 AC
      'false', // 19 OPTIMIZER_OFFLOAD
      '1000', // 20 SAVE_INTERVAL
      '/mnt/data/dataset', // 21 DATASET_PATH
      '/mnt/data/dataset', // 22 VALID_DATASET_PATH
      '/mnt/data/qwen2-72b-mcore-tp8-pp4', // 23 PRETRAIN_CHECKPOINT_PATH
      '1638400', // 24 TRAIN_TOKENS
      '163840', // 25 WARMUP_TOKENS
      '/mnt/output', // 26 OUTPUT_BASEPATH
    ]);
  });

  it('have no expert parallelism in Qwen2.5 and two sizes of it in Qwen3', () => {
    const parallel = { tensorParallelSize: 4, pipelineParallelSize: 1 };
    const qwen25 = megatronArguments(run72B({}, { model: 'qwen2.5-7b', parallel }));
    expect(qwen25).toHaveLength(25);
    expect(qwen25.slice(9, 16)).toEqual(['4', '1', '1', 'true', 'true', 'true', 'false']); // TP PP CP SP DO FL SFT
    const qwen3 = megatronArguments(run72B({}, { model: 'qwen3-8b', parallel }));
    expect(qwen3).toHaveLength(27);
    expect(qwen3.slice(9, 15)).toEqual(['4', '1', '1', '1', '1', 'true']); // TP PP CP ETP EP SP
  });

  it('switch sequence parallelism off without tensor parallelism', () => {
    const parallel = { tensorParallelSize: 1, pipelineParallelSize: 4 };
    expect(megatronArguments(run72B({}, { parallel }))[13]).toBe('false');
  });

  it('say none without a base checkpoint, and name the held-out dataset', () => {
    const { baseCheckpoint, ...rest } = run72B();
    const values = megatronArguments({ ...rest, data: { train: '/mnt/data/a', validation: '/mnt/data/b' } });
    expect(values.slice(20, 23)).toEqual(['/mnt/data/a', '/mnt/data/b', 'none']);
  });
});

describe('megatronCommand', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'launch-'));
    mkdirSync(join(root, 'examples/qwen2'), { recursive: true });
    writeFileSync(
      join(root, 'examples/qwen2/run_mcore_qwen.sh'),
      `printf '%s\\n' "$PWD" "$KUBERNETES_CONTAINER_RESOURCE_GPU" "$#" "$@"\n`,
    );
  });
  afterEach(() => rmSync(root, { recursive: true }));

  /** Runs the command in a pod's environment, with a script that prints what it was given. */
  const run = (environment: Record<string, string>): string[] =>
    execFileSync('/bin/sh', ['-c', megatronCommand(run72B())], {
      env: { PATH: process.env.PATH ?? '', PAI_MEGATRON_PATCH: root, ...environment },
    })
      .toString()
      .trimEnd()
      .split('\n');

  it('hands the script every argument, in its own folder', () => {
    const [folder, , count, ...values] = run({ NPROC_PER_NODE: '8' });
    expect(folder?.endsWith('/examples/qwen2')).toBe(true);
    expect(count).toBe('26');
    expect(values).toEqual(megatronArguments(run72B()));
  });

  it('fills in the number of GPUs that the script reads', () => {
    expect(run({ NPROC_PER_NODE: '4' })[1]).toBe('4');
    expect(run({ NPROC_PER_NODE: '4', KUBERNETES_CONTAINER_RESOURCE_GPU: '2' })[1]).toBe('2');
    expect(run({})[1]).toBe('8');
  });

  it('looks for the toolkit where its image has it', () => {
    expect(megatronCommand(run72B())).toMatch(
      /PAI_MEGATRON_PATCH:-\/workspace\/Pai-Megatron-Patch\}\/examples\/qwen2"/,
    );
  });
});

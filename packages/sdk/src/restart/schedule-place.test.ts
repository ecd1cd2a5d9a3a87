import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run72B } from '../../test/sample-specs.ts';
import { megatronCommand } from '../megatron-command.ts';
import { planResume } from './resume-run.ts';
import { scheduleArguments } from './schedule-place.ts';

describe('scheduleArguments', () => {
  // By hand from get_lr: with d = N − p and −w = p − w the share of the cosine is (j + p − w) / (N − w), as without a break.
  it.each([
    [550, ['--lr-decay-iters=450', '--lr-warmup-iters=-450']],
    [100, ['--lr-decay-iters=900', '--lr-warmup-iters=0']],
    [40, ['--lr-decay-iters=960', '--lr-warmup-iters=60', '--lr-warmup-init=0.00002']],
    [1000, ['--lr-decay-iters=1', '--lr-warmup-iters=-900']],
  ])('after %i of 1000 iterations, 100 of them warm-up', (start, expected) => {
    expect(scheduleArguments({ start, iterations: 1000, warmupIterations: 100 }, 5e-5)).toEqual(expected);
  });
});

describe('the command of a run that goes on', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'schedule-place-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it.each(['/bin/sh', '/bin/bash'])('adds to the end of torchrun’s arguments, started by %s', (shell) => {
    // As the scripts of Pai-Megatron-Patch@a098ca5 end: an eval of one string.
    const folder = join(root, 'patch/examples/qwen2');
    mkdirSync(folder, { recursive: true });
    mkdirSync(join(root, 'bin'));
    const script = 'set -e\nrun_cmd="torchrun pretrain_qwen.py --lr-decay-iters 9 --no-load-optim"\neval $run_cmd\n';
    writeFileSync(join(folder, 'run_mcore_qwen.sh'), script);
    writeFileSync(join(root, 'bin/torchrun'), '#!/bin/sh\nprintf "%s\\n" "$@"\n');
    chmodSync(join(root, 'bin/torchrun'), 0o755);
    const tokens = 32_768;
    const spec = run72B({ train_tokens: 1000 * tokens, warmup_tokens: 100 * tokens });
    const mounted = { ...spec, output: { ...spec.output, mountPath: root } };
    const { spec: resumed } = planResume(mounted, { iteration: 550, directory: `${root}/checkpoint/run` });
    const env = { PATH: `${root}/bin:${process.env.PATH}`, PAI_MEGATRON_PATCH: join(root, 'patch') };
    const lines = execFileSync(megatronCommand(resumed), { shell, env, encoding: 'utf8' }).trimEnd().split('\n');
    expect(lines).toEqual([
      'pai-cpt: torchrun is given --lr-decay-iters=450 --lr-warmup-iters=-450',
      ...['pretrain_qwen.py', '--lr-decay-iters', '9', '--no-load-optim'],
      ...['--lr-decay-iters=450', '--lr-warmup-iters=-450'],
    ]);
    expect(megatronCommand(spec)).not.toContain('torchrun');
  });
});

import { exec } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { run72B } from '../../test/sample-specs.ts';
import { checkpointToLoad, resumeSteps } from './resume-view.ts';

const run = promisify(exec);

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'resume-view-'));
  mkdirSync(join(root, 'checkpoint/a run-ti-9/iter_0000020'), { recursive: true });
  writeFileSync(join(root, 'checkpoint/a run-ti-9/iter_0000020/weights'), 'twenty');
});
afterEach(() => rmSync(root, { recursive: true }));

const specOf = (order?: 'anew') => {
  const spec = run72B();
  const resume = { checkpoint: `${root}/checkpoint/a run-ti-9/`, iteration: 20, ...(order ? { order } : {}) };
  return { ...spec, resume, output: { ...spec.output, mountPath: `${root}/` } };
};

it.each([
  [undefined, 'iter_0000020', '20', ''],
  ['anew' as const, 'release', 'release', '-release'],
])('makes a view of one iteration, order %s, whichever pod is first', async (order, name, tracker, suffix) => {
  const spec = specOf(order);
  const view = join(root, 'resume/a run-ti-9', `iter_0000020${suffix}`);
  expect(checkpointToLoad(spec)).toBe(view);
  const pod = (rank: number) => run(`${resumeSteps(spec)}true`, { env: { RANK: String(rank) }, shell: '/bin/sh' });
  await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(pod));
  await pod(0); // and again, after a restart
  expect(readdirSync(view).sort()).toEqual([name, 'latest_checkpointed_iteration.txt'].sort());
  expect(readlinkSync(join(view, name))).toBe(join(root, 'checkpoint/a run-ti-9/iter_0000020'));
  expect(readFileSync(join(view, name, 'weights'), 'utf8')).toBe('twenty');
  expect(readFileSync(join(view, 'latest_checkpointed_iteration.txt'), 'utf8')).toBe(tracker);
});

it('has the files that the launch scripts copy, by a command that fails without them', async () => {
  // run_mcore_qwen.sh of Pai-Megatron-Patch@a098ca5, under set -e; PRETRAIN_CHECKPOINT_PATH is the view.
  const copies = ['*.json', 'merges.txt'].map(
    (name) => `find -L . -maxdepth 1 -type f -name "${name}" -print0 | xargs -0 cp -t "$SAVE"`,
  );
  for (const name of ['config.json', 'merges.txt']) writeFileSync(join(root, 'checkpoint/a run-ti-9', name), name);
  const spec = specOf();
  const view = checkpointToLoad(spec) as string;
  const pod = (rank: number) => run(`${resumeSteps(spec)}true`, { env: { RANK: String(rank) }, shell: '/bin/sh' });
  await Promise.all([0, 1, 2, 3].map(pod));
  await pod(0);
  const save = join(root, 'save');
  mkdirSync(save);
  await run(['set -e', ...copies].join('\n'), { cwd: view, env: { ...process.env, SAVE: save }, shell: '/bin/bash' });
  expect(readdirSync(save).sort()).toEqual(['config.json', 'merges.txt']);
});

it('is nothing for a run that starts from its base', () => {
  expect(resumeSteps(run72B())).toBe('');
  expect(checkpointToLoad(run72B())).toBe('/mnt/data/qwen2-72b-mcore-tp8-pp4');
});

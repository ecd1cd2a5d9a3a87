import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cpt-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function cpt(...args: string[]) {
  const env = {
    ...process.env,
    NO_COLOR: '1',
    ALIBABA_CLOUD_ACCESS_KEY_ID: 'test-id',
    ALIBABA_CLOUD_ACCESS_KEY_SECRET: 'test-secret',
  };
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'packages/cli/bin/cpt.js'), ...args], {
    encoding: 'utf8',
    env,
  });
  return { status, stdout, stderr };
}

/** The 72B example with a change, as a file. */
function changedSpec(change: (spec: Record<string, Record<string, unknown>>) => void): string {
  const spec = JSON.parse(readFileSync(join(root, 'examples/qwen2-72b.json'), 'utf8'));
  change(spec);
  const path = join(folder, 'spec.json');
  writeFileSync(path, JSON.stringify(spec));
  return path;
}

describe('cpt plan', () => {
  it("shows the worked figures of QuickStart's 72B defaults and that nothing is saved before the end", () => {
    const { status, stdout } = cpt('plan', join(root, 'examples/qwen2-72b.json'));
    expect(status).toBe(0);
    expect(stdout).toContain('50 iterations, 5 of them warm-up');
    expect(stdout).toContain('32,768 tokens an iteration, 1,638,400 in all');
    expect(stdout).toMatch(/warn {2}P9 .*save_interval 1,000.*nothing is saved before the end/);
  });

  it('gives one JSON line with --json, and code 3 for a run of no iteration', () => {
    const spec = changedSpec(({ hyperParameters }) => {
      (hyperParameters as Record<string, unknown>).train_tokens = 1000;
    });
    const { status, stdout } = cpt('plan', spec, '--json');
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ iterations: 0, isBlocked: true });
  });

  it.each([
    ['a file that is missing', ['plan', 'nowhere.json'], /nowhere\.json: cannot be read/],
    ['a rule that does not exist', ['watch', 'dlc1', '--stop-on', 'A1,Z9'], /no rule "Z9"; there are A1, A2/],
    ['an option that does not exist', ['plan', 'x.json', '--jsonn'], /unknown option '--jsonn'/],
    [
      'a dataset that is missing',
      ['plan', join(root, 'examples/qwen2-72b.json'), '--dataset', 'nowhere'],
      /nowhere\.idx/,
    ],
  ])('refuses %s with code 2 and one line', (_, args, message) => {
    const { status, stdout, stderr } = cpt(...args);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.trim()).toMatch(message);
  });

  it('names an unknown field of the specification and the one that was meant', () => {
    const spec = changedSpec(({ hyperParameters }) => {
      (hyperParameters as Record<string, unknown>).train_token = 1;
    });
    const { status, stderr } = cpt('plan', spec);
    expect(status).toBe(2);
    expect(stderr).toMatch(/\/hyperParameters\/train_token.*train_tokens/);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});

describe('cpt', () => {
  it('lists its commands', () => {
    const { status, stdout } = cpt('--help');
    expect(status).toBe(0);
    for (const command of ['plan', 'submit', 'watch', 'jobs', 'deploy', 'services', 'demo'])
      expect(stdout).toContain(command);
  });

  it('says in one line that PAI cannot be reached', () => {
    const { status, stderr } = cpt('jobs', 'get', 'dlc1', '--endpoint', 'http://127.0.0.1:9');
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/error: /);
  });
});

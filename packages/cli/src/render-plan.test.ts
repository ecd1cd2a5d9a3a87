import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CptClient, type CptRunSpecInput, type PlanFacts, parseRunSpec } from '@pai-cpt/sdk';
import { describe, expect, it } from 'vitest';
import { renderPlan } from './render-plan.ts';

const example = JSON.parse(readFileSync(join(import.meta.dirname, '../../../examples/qwen2-72b.json'), 'utf8'));
const show = (change: Partial<CptRunSpecInput> = {}, facts: PlanFacts = {}, columns = 100): string => {
  const spec = parseRunSpec({ ...example, ...change });
  return renderPlan(CptClient.plan(spec, facts), { columns, model: spec.model });
};
const hyper = (more: object) => ({ hyperParameters: { ...example.hyperParameters, ...more } });
const line = (text: string, pattern: RegExp): string => text.split('\n').find((one) => pattern.test(one)) ?? '';

describe('the plan of the guide’s run, as a person looks at it', () => {
  it('is this picture', async () => {
    await expect(show()).toMatchFileSnapshot('../test/qwen2-72b-plan.txt');
  });

  it('has the figures of the worked example in its table: GiB without the 5 of CUDA and NCCL', () => {
    // plan-and-monitoring.md §3: TP, PP, DP, micro batches, bubble, total with DO.
    const worked = [
      [8, 4, 1, 32, 8.6, 42.1],
      [8, 2, 2, 16, 5.9, 53.5],
      [4, 4, 2, 16, 15.8, 57.9],
      [4, 8, 1, 32, 17.9, 47.4],
      [8, 1, 4, 8, 0, 78.9],
      [4, 2, 4, 8, 11, 81.5],
      [2, 8, 2, 16, 30, 66.8],
    ] as const;
    for (const [tensor, stages, replicas, micro, idle, gib] of worked) {
      const row = line(show(), new RegExp(`^.\\s+${tensor}\\s+${stages}\\s+${replicas}\\s+${micro} `));
      const [, percent, total] = / ([\d.]+) % +([\d.]+) /.exec(row) ?? [];
      expect(Math.abs(Number(percent) - idle)).toBeLessThan(0.5);
      expect(Math.abs(Number(total) - 5 - gib)).toBeLessThan(0.11);
    }
    expect(show()).toMatch(/▸ +8 +4 +1 .*← this run/);
    expect(show()).toMatch(/ 8 +1 +4 .*does not fit/);
  });

  it('marks each checkpoint at its place in the run', () => {
    const run = line(show(hyper({ save_interval: 25 })), /━/);
    const at = [...run.replace(/^ +·+/, '')].flatMap((sign, index) => (sign === '◆' ? [index + 1] : []));
    const width = run.replace(/^ +·+/, '').length;
    expect(at).toEqual([Math.ceil(width / 2), width]);
    expect(show(hyper({ save_interval: 25 }))).toContain('◆ 2 checkpoints, the first after 25 of 50 iterations');
  });

  it('keeps to the width of the terminal in its bars, and cuts what does not fit a GPU', () => {
    const tight = show({ parallel: { tensorParallelSize: 8, pipelineParallelSize: 1 } }, {}, 80);
    const bar = line(tight, /stage 0/);
    expect(bar).toContain('▶');
    expect(bar.length).toBeLessThanOrEqual(84);
    expect(tight).toMatch(/blocked: .*$/);
  });

  it('puts what blocks first, then warnings, then notes, and each advice under its finding', () => {
    const text = show(hyper({ min_learning_rate: 1e-3 }));
    const levels = [...text.matchAll(/^(block|warn |info ) /gm)].map(([, level]) => level);
    expect(levels).toEqual(
      [...levels].sort(
        (a, b) => ['block', 'warn ', 'info '].indexOf(a as string) - ['block', 'warn ', 'info '].indexOf(b as string),
      ),
    );
    expect(levels[0]).toBe('block');
    expect(text).toMatch(/^block P15 .*\n {10}set min_learning_rate to/m);
  });

  it('shows epochs when the dataset is known', () => {
    const dataset = { tokens: 3_309_899, sequences: 1e6, documents: 1e6, source: 'dataset.idx' };
    expect(show({}, { dataset })).toContain('1,638,400 in all = 0.50 epochs of the dataset');
  });

  it('draws nothing of a run that has no iteration, or whose division is none', () => {
    expect(show(hyper({ train_tokens: 1000 }))).not.toContain('◆');
    expect(show({ parallel: { tensorParallelSize: 8, pipelineParallelSize: 8 } })).not.toContain('stage 0');
  });
});

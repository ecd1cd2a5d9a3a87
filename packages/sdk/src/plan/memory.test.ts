import { describe, expect, it } from 'vitest';
import { run72B } from '../../test/sample-specs.ts';
import type { CptRunSpecInput } from '../run-spec.ts';
import type { Finding } from '../schemas.ts';
import { memoryUse } from './memory.ts';
import { planRun } from './plan.ts';
import { planInput } from './plan-input.ts';

const GIB = 2 ** 30;
type Division = [tensor: number, stages: number];

const parallel = ([tensorParallelSize, pipelineParallelSize]: Division, contextParallelSize = 1) => ({
  parallel: { tensorParallelSize, pipelineParallelSize, contextParallelSize },
});
const useOf = (division: Division, hyper: CptRunSpecInput['hyperParameters'] = {}) =>
  memoryUse(planInput(run72B(hyper, parallel(division)), {}));
const memoryFinding = (division: Division, hyper: CptRunSpecInput['hyperParameters'] = {}): Finding | undefined =>
  planRun(run72B(hyper, parallel(division))).findings.find(({ check }) => check === 'P5');

// GiB on the fullest of 32 GPUs, worked in plan-and-monitoring.md §3 with another program: states with and without a
// distributed optimizer, activations, the total with logits and without CUDA.
const TABLE: [...Division, states: number, whole: number, activations: number, total: number, level: string][] = [
  [8, 4, 39.4, 39.4, 2.5, 42.1, 'info'],
  [8, 2, 50.8, 76.2, 2.5, 53.5, 'info'],
  [4, 4, 52.5, 78.8, 5.1, 57.9, 'info'],
  [4, 8, 42.0, 42.0, 5.1, 47.4, 'info'],
  [8, 1, 76.2, 152, 2.6, 78.9, 'block'],
  [4, 2, 76.2, 152, 5.1, 81.5, 'block'],
  [2, 8, 56.0, 84, 10.2, 66.8, 'warn'],
];

describe('memory of Qwen2-72B on 32 GPUs of 80 GiB', () => {
  it.each(TABLE)('TP %i × PP %i', (tensor, stages, states, whole, activations, total, level) => {
    const use = useOf([tensor, stages]);
    expect(Math.abs(use.states / GIB - states)).toBeLessThanOrEqual(0.06);
    expect(Math.abs(use.wholeStates / GIB - whole)).toBeLessThanOrEqual(whole > 100 ? 0.6 : 0.06);
    expect(Math.abs(use.activations / GIB - activations)).toBeLessThanOrEqual(0.06);
    expect(Math.abs(use.total / GIB - total)).toBeLessThanOrEqual(0.11);
    expect(memoryFinding([tensor, stages])?.level).toBe(level);
  });

  it.each([
    [4096, 10.2],
    [8192, 20.3],
    [32_768, 81],
  ])('TP 8 × PP 4 with sequences of %i has %f GiB of activations', (sequence_length, gib) => {
    const use = useOf([8, 4], { sequence_length, train_tokens: 1e9 });
    expect(Math.abs(use.activations / GIB - gib)).toBeLessThanOrEqual(gib > 50 ? 0.6 : 0.1);
  });

  it('blocks what does not fit, and says what to do', () => {
    const states = memoryFinding([8, 1]);
    expect(states?.message).toMatch(/^fullest GPU: .* 76\.2 \+ activations 2\.6 \+ logits 0\.1 .* of 80 GiB$/);
    expect(states?.advice).toContain('raise TP or PP');
    const long = memoryFinding([8, 4], { sequence_length: 32_768, train_tokens: 1e9 });
    expect(long).toMatchObject({ level: 'block', advice: expect.stringContaining('add CP') });
    // Over four GPUs a sequence's activations are a quarter.
    const shared = planInput(
      run72B(
        { sequence_length: 32_768 },
        { ...parallel([8, 4], 4), compute: { nodes: 16, gpusPerNode: 8, quotaId: 'q' } },
      ),
      {},
    );
    expect(memoryUse(shared).activations / GIB).toBeCloseTo(
      useOf([8, 4], { sequence_length: 8192 }).activations / GIB,
      6,
    );
  });

  it('says nothing of a division that is none', () => {
    expect(memoryFinding([8, 8])).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { run72B } from '../../test/sample-specs.ts';
import { planRun } from './plan.ts';
import type { PlanFacts } from './plan-facts.ts';

type Base = NonNullable<PlanFacts['baseCheckpoint']>;
const found = (facts: Omit<Base, 'source'>) =>
  planRun(run72B(), { baseCheckpoint: { source: '/base', ...facts } }).findings.filter(({ check }) => check === 'P8');
const levels = (facts: Omit<Base, 'source'>) => found(facts).map(({ level }) => level);

// Of Qwen2-72B: plan-and-monitoring.md §3.
const SIZES = { layers: 80, hiddenSize: 8192, ffnHiddenSize: 29_568, heads: 64, queryGroups: 8 };
const whole = { ...SIZES, parameters: 72_706_203_648, paddedVocabSize: 152_064, dtypes: ['BF16'], problems: [] };

describe('P8 base checkpoint, when it was read', () => {
  it('is whole, the model’s and divided as the run is', () => {
    expect(levels({ ...whole, tensorParallelSize: 8, pipelineParallelSize: 4 })).toEqual(['info']);
  });

  it('must be divided as the run is, unless any division loads it', () => {
    const wrong = { tensorParallelSize: 4, pipelineParallelSize: 4 };
    expect(found(wrong)).toMatchObject([
      {
        level: 'block',
        message: '/base was saved with TP 4 × PP 4, the run has TP 8 × PP 4',
        advice: expect.stringContaining('ckpt-convert reshard --tp 8 --pp 4'),
      },
    ]);
    expect(found({ ...wrong, isDistributed: true })).toEqual([]);
  });

  it('must be the model, by every size that is known', () => {
    expect(levels({ parameters: 7_615_616_512 })).toEqual(['block']);
    const [sizes] = found({ ...whole, layers: 28, hiddenSize: 3584, paddedVocabSize: 128_256 });
    expect(sizes).toMatchObject({ level: 'block', numbers: { layers: 28, layersExpected: 80, rows: 128_256 } });
    expect(sizes?.message).toBe(
      '/base is not qwen2-72b: layers 28 instead of 80, hiddenSize 3,584 instead of 8,192, 128,256 rows of the embedding table instead of 152,064',
    );
  });

  it('must be readable, with every tensor by its name and shape', () => {
    const problems = ['decoder.layers.3.mlp.linear_fc1.weight is missing'];
    const [block] = found({ problems });
    expect(block).toMatchObject({ level: 'block', advice: expect.stringContaining('to-megatron') });
    expect(block?.message).toBe(`/base cannot be loaded as it is: ${problems[0]}`);
  });

  it('is told when it is not in bf16', () => {
    expect(found({ dtypes: ['BF16', 'F32'] })).toMatchObject([
      { level: 'warn', message: expect.stringContaining('F32; the run trains in BF16') },
    ]);
  });
});

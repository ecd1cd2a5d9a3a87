import { describe, expect, it } from 'vitest';
import { run72B } from '../test/sample-specs.ts';
import { MODELS } from './models.ts';
import { parallelOf, suggestParallel } from './parallel-layout.ts';

const layout = (tensor: number, pipeline: number) => ({
  tensorParallelSize: tensor,
  pipelineParallelSize: pipeline,
  contextParallelSize: 1,
});

describe('suggestParallel', () => {
  it('divides the 72B of the guide as TP 8 × PP 4', () => {
    expect(parallelOf(run72B())).toEqual(layout(8, 4));
  });

  it('uses no more GPUs for a replica than it must', () => {
    const node = { nodes: 1, gpusPerNode: 8, gpuMemoryGiB: 80 };
    expect(suggestParallel(MODELS['qwen2-0.5b'], node)).toEqual(layout(1, 1));
    // 7.6e9 parameters × 18 bytes = 137 GB: 68 GB on each of 2 GPUs is more than 60 % of 80 GiB, 34 GB on each of 4 is not.
    expect(suggestParallel(MODELS['qwen2-7b'], node)).toEqual(layout(4, 1));
    expect(suggestParallel(MODELS['qwen2-tiny'], { nodes: 2, gpusPerNode: 4, gpuMemoryGiB: 1 })).toEqual(layout(1, 1));
  });

  it('keeps to what divides heads, groups and layers', () => {
    // Qwen2-0.5B: 14 heads in 2 groups, so at most TP 2, and 24 layers.
    const suggested = suggestParallel(MODELS['qwen2-0.5b'], { nodes: 1, gpusPerNode: 8, gpuMemoryGiB: 2 });
    expect(suggested).toEqual(layout(2, 4));
  });

  it('keeps tensor parallelism inside a node', () => {
    const compute = { nodes: 4, gpusPerNode: 2, gpuMemoryGiB: 80 };
    expect(suggestParallel(MODELS['qwen2-72b'], compute)).toEqual(layout(2, 4));
  });

  it('gives the finest division when nothing fits', () => {
    expect(suggestParallel(MODELS['qwen2-72b'], { nodes: 1, gpusPerNode: 8, gpuMemoryGiB: 80 })).toEqual(layout(8, 1));
  });
});

it('takes the division that is given', () => {
  expect(parallelOf(run72B({}, { parallel: { tensorParallelSize: 4, pipelineParallelSize: 8 } }))).toEqual(
    layout(4, 8),
  );
});

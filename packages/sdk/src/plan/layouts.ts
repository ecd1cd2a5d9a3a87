import { fitsShape } from '../parallel-layout.ts';
import type { Layout, StageMemory } from '../schemas.ts';
import { FULL, GIB, memoryUse, NEARLY_FULL, OVERHEAD_GIB, stageUse } from './memory.ts';
import type { PlanInput } from './plan-input.ts';

/** Divisions that need more than this share of a GPU are not worth a row. */
const HOPELESS = 1.1;
const MOST_ROWS = 10;

/** Memory of each pipeline stage's GPUs, first to last; empty for a division that is none. */
export function stageMemory(input: PlanInput): StageMemory[] {
  const { parallel, dataParallelSize, gpus } = input;
  if (dataParallelSize === 0) return [];
  const stages = parallel.pipelineParallelSize;
  const each = Math.floor(gpus / stages);
  return Array.from({ length: stages }, (_, stage) => {
    const use = stageUse(input, stage);
    return {
      stage,
      firstRank: stage * each,
      lastRank: (stage + 1) * each - 1,
      statesGiB: use.states / GIB,
      activationsGiB: use.activations / GIB,
      logitsGiB: use.logits / GIB,
      overheadGiB: OVERHEAD_GIB,
      totalGiB: use.total / GIB + OVERHEAD_GIB,
    };
  });
}

/** Every division of the model over the same GPUs that comes near to fitting, the least idle first, what fits before what does not. */
export function alternativeLayouts(input: PlanInput): Layout[] {
  const { spec, model, gpus, parallel } = input;
  const context = parallel.contextParallelSize;
  const sizes = Array.from({ length: gpus }, (_, index) => index + 1).filter((size) => gpus % size === 0);
  const rows = sizes
    .filter((tensor) => spec.compute.gpusPerNode % tensor === 0)
    .flatMap((tensor) => sizes.map((pipeline) => [tensor, pipeline] as const))
    .filter(([tensor, pipeline]) => gpus % (tensor * pipeline * context) === 0 && fitsShape(model, tensor, pipeline))
    .map(([tensor, pipeline]) => layoutOf(input, tensor, pipeline))
    .filter(({ totalGiB, isChosen }) => isChosen || totalGiB <= spec.compute.gpuMemoryGiB * HOPELESS);
  const rank = { fits: 0, tight: 1, 'uneven-batch': 2, 'does-not-fit': 3 } as const;
  const sorted = rows.sort(
    (a, b) => rank[a.verdict] - rank[b.verdict] || a.bubble - b.bubble || a.totalGiB - b.totalGiB,
  );
  const shown = sorted.slice(0, MOST_ROWS);
  const chosen = sorted.find(({ isChosen }) => isChosen);
  return chosen && !shown.includes(chosen) ? [...shown.slice(0, -1), chosen] : shown;
}

function layoutOf(input: PlanInput, tensorParallelSize: number, pipelineParallelSize: number): Layout {
  const { spec, hyper, gpus, parallel } = input;
  const { contextParallelSize } = parallel;
  const own = { tensorParallelSize, pipelineParallelSize, contextParallelSize };
  const dataParallelSize = gpus / (tensorParallelSize * pipelineParallelSize * contextParallelSize);
  const microBatches = hyper.global_batch_size / (hyper.batch_size * dataParallelSize);
  const use = memoryUse({ ...input, parallel: own, dataParallelSize });
  const totalGiB = use.total / GIB + OVERHEAD_GIB;
  const share = totalGiB / spec.compute.gpuMemoryGiB;
  const isEven = Number.isInteger(microBatches);
  return {
    ...own,
    dataParallelSize,
    microBatches: Math.floor(microBatches),
    statesGiB: use.states / GIB,
    wholeStatesGiB: use.wholeStates / GIB,
    activationsGiB: use.activations / GIB,
    totalGiB,
    bubble: (pipelineParallelSize - 1) / (Math.floor(microBatches) + pipelineParallelSize - 1 || 1),
    verdict: share > FULL ? 'does-not-fit' : !isEven ? 'uneven-batch' : share > NEARLY_FULL ? 'tight' : 'fits',
    isChosen:
      tensorParallelSize === parallel.tensorParallelSize && pipelineParallelSize === parallel.pipelineParallelSize,
  };
}

import { MODELS, type ModelShape, parameterCount } from './models.ts';
import type { CptRunSpec, Parallel } from './run-spec.ts';

/** Weights, gradients and Adam state in bf16 with fp32 masters, without a distributed optimizer. */
const STATE_BYTES_PER_PARAMETER = 18;

/** Of a GPU's memory; the rest is for activations, logits, CUDA and NCCL. */
const STATE_SHARE = 0.6;

const WHOLE = { tensor: 1, pipeline: 1 };

/** The division of the model: the spec's own, or the smallest that fits. */
export function parallelOf(spec: CptRunSpec): Parallel {
  return spec.parallel ?? suggestParallel(MODELS[spec.model], spec.compute);
}

/**
 * The division with the fewest GPUs for one replica whose model states fill at most 60 % of each GPU, tensor before
 * pipeline parallelism, tensor parallelism inside a node. When none fits, the finest possible one. For Qwen2-72B on 4 × 8
 * GPUs of 80 GiB: TP 8 × PP 4, 40.9 GB of states on each.
 */
export function suggestParallel(
  model: ModelShape,
  { nodes, gpusPerNode, gpuMemoryGiB }: { nodes: number; gpusPerNode: number; gpuMemoryGiB: number },
): Parallel {
  const gpus = nodes * gpusPerNode;
  const room = gpuMemoryGiB * 2 ** 30 * STATE_SHARE;
  const stateBytes = parameterCount(model) * STATE_BYTES_PER_PARAMETER;
  const candidates = divisorsOf(gpus)
    .flatMap((size) => divisorsOf(size).map((tensor) => ({ tensor, pipeline: size / tensor })))
    .filter(({ tensor, pipeline }) => fitsShape(model, tensor, pipeline) && gpusPerNode % tensor === 0)
    .sort((a, b) => a.tensor * a.pipeline - b.tensor * b.pipeline || b.tensor - a.tensor);
  const chosen = candidates.find(({ tensor, pipeline }) => stateBytes / (tensor * pipeline) <= room);
  const finest = Math.max(...candidates.map(({ tensor, pipeline }) => tensor * pipeline));
  const { tensor, pipeline } =
    chosen ?? candidates.find((candidate) => candidate.tensor * candidate.pipeline === finest) ?? WHOLE;
  return { tensorParallelSize: tensor, pipelineParallelSize: pipeline, contextParallelSize: 1 };
}

/** True when heads, groups, feed-forward width and layers divide. */
export function fitsShape(
  { heads, queryGroups, ffnHiddenSize, layers }: ModelShape,
  tensor: number,
  pipeline: number,
): boolean {
  const dividesTensor = [heads, queryGroups, ffnHiddenSize].every((size) => size % tensor === 0);
  return dividesTensor && layers % pipeline === 0;
}

function divisorsOf(value: number): number[] {
  return Array.from({ length: value }, (_, index) => index + 1).filter((divisor) => value % divisor === 0);
}

import { parameterCount } from '../models.ts';
import type { Finding } from '../schemas.ts';
import type { PlanInput } from './plan-input.ts';

export const GIB = 2 ** 30;

/** CUDA context, NCCL buffers and fragmentation take 4 to 6 GiB of a GPU. */
export const OVERHEAD_GIB = 5;
export const FULL = 0.95;
export const NEARLY_FULL = 0.85;

/** Memory of the fullest GPU, in bytes, by what fills it. */
export interface MemoryUse {
  /** Weights and gradients in bf16 and fp32, Adam's moments and the fp32 copy, these divided over the replicas. */
  readonly states: number;
  /** The same when the optimizer is not divided: what DO=false would take. */
  readonly wholeStates: number;
  readonly activations: number;
  readonly logits: number;
  readonly total: number;
}

/**
 * Memory of the fullest GPU: the first stage, which has as many layers as any and the embedding table, with as many micro
 * batches in flight as there are stages. Activations are those of selective recomputation and sequence parallelism.
 * Formulas: Megatron-LM@d98e8a64ddf3, megatron/training/theoretical_memory_usage.py; Korthikanti et al., arXiv 2205.05198.
 */
export function memoryUse({ model, hyper, parallel, dataParallelSize, facts }: PlanInput): MemoryUse {
  const { tensorParallelSize: tensor, pipelineParallelSize: stages, contextParallelSize: context } = parallel;
  const { layers, hiddenSize: h, ffnHiddenSize: ffn, isTied } = model;
  const vocabSize = model.vocabSize ?? facts.dataset?.vocabSize ?? 0;
  const table = vocabSize * h;
  const tables = isTied ? 1 : 2;
  const inLayers = parameterCount(model, vocabSize) - tables * table - h;
  const layerShare = Math.ceil(layers / stages) / layers;
  const parameters = (inLayers * layerShare + table * (stages === 1 ? tables : 1)) / tensor;

  const samples = (hyper.sequence_length / context) * hyper.batch_size;
  const microBatches = Math.ceil(hyper.global_batch_size / (hyper.batch_size * dataParallelSize));
  const inLayersActive = samples * h * (18 + (4 * ffn) / h) * layers;
  const atEmbedding = samples * (8 + h) * stages;
  const atOutput = stages === 1 ? samples * h * 4 * (1 + vocabSize / h) : 0;
  const inFlight = stages === 1 ? 1 : Math.min(1, microBatches / stages);
  const activations = ((inLayersActive + atEmbedding) * inFlight + atOutput) / tensor;
  const logits = (4 * samples * vocabSize * 2) / tensor;

  // The optimizer's 12 bytes are divided over data and context parallel ranks alike.
  const states = parameters * (6 + 12 / (dataParallelSize * context));
  return { states, wholeStates: parameters * 18, activations, logits, total: states + activations + logits };
}

/**
 * The same for each stage: the first holds the embedding table, the last the output layer and the logits, and stage p keeps the
 * activations of as many micro batches as there are stages from it to the end.
 */
export function stageUse(input: PlanInput, stage: number): Omit<MemoryUse, 'wholeStates'> {
  const { model, hyper, parallel, dataParallelSize, facts } = input;
  const { tensorParallelSize: tensor, pipelineParallelSize: stages, contextParallelSize: context } = parallel;
  if (stages === 1) return memoryUse(input);
  const { layers, hiddenSize: h, ffnHiddenSize: ffn, isTied } = model;
  const vocabSize = model.vocabSize ?? facts.dataset?.vocabSize ?? 0;
  const isFirst = stage === 0;
  const isLast = stage === stages - 1;
  const tables = vocabSize * h * (isFirst || isLast ? 1 : 0);
  const inLayers = parameterCount(model, vocabSize) - vocabSize * h * (isTied ? 1 : 2) - h;
  const parameters = (inLayers / stages + tables + (isLast ? h : 0)) / tensor;
  const samples = (hyper.sequence_length / context) * hyper.batch_size;
  const microBatches = Math.ceil(hyper.global_batch_size / (hyper.batch_size * dataParallelSize));
  const inFlight = Math.min(microBatches, stages - stage);
  const ofLayers = samples * h * (18 + (4 * ffn) / h) * (layers / stages) * inFlight;
  const activations = (ofLayers + (isFirst ? samples * (8 + h) * inFlight : 0)) / tensor;
  const logits = isLast ? (4 * samples * vocabSize * 2) / tensor : 0;
  const states = parameters * (6 + 12 / (dataParallelSize * context));
  return { states, activations, logits, total: states + activations + logits };
}

/** P5: the fullest GPU is not too full. */
export function checkMemory(input: PlanInput): Finding[] {
  const { spec, parallel, dataParallelSize } = input;
  if (dataParallelSize === 0) return []; // P4 says so
  const use = memoryUse(input);
  const [states, activations, logits, total] = [use.states, use.activations, use.logits, use.total].map(
    (bytes) => bytes / GIB,
  ) as [number, number, number, number];
  const need = total + OVERHEAD_GIB;
  const { gpuMemoryGiB } = spec.compute;
  const share = need / gpuMemoryGiB;
  const level = share > FULL ? 'block' : share > NEARLY_FULL ? 'warn' : 'info';
  const text = (gib: number): string => gib.toFixed(1);
  const finding = {
    check: 'P5',
    level,
    message: `fullest GPU: weights, gradients and optimizer ${text(states)} + activations ${text(activations)} + logits ${text(logits)} + CUDA and NCCL ${OVERHEAD_GIB} = ${text(need)} of ${gpuMemoryGiB} GiB`,
    numbers: { states, activations, logits, overhead: OVERHEAD_GIB, need, gpuMemoryGiB },
  } as const;
  if (level === 'info') return [finding];
  const way = activations > states ? 'shorten sequence_length or add CP' : 'raise TP or PP, or use more GPUs';
  const { tensorParallelSize: tensor, pipelineParallelSize: stages } = parallel;
  return [{ ...finding, advice: `${way}: TP ${tensor} × PP ${stages} leaves too little room` }];
}

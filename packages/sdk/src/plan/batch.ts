import type { Finding } from '../schemas.ts';
import { grouped, percent } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** Above it, stages wait for each other more than is usual. */
const LARGE_BUBBLE = 0.2;

/** P3: the global batch divides over the replicas, and the pipeline is filled. */
export function checkBatch({ hyper, parallel, dataParallelSize, gpus }: PlanInput): Finding[] {
  const { batch_size: micro, global_batch_size: global } = hyper;
  const { pipelineParallelSize: stages } = parallel;
  if (dataParallelSize === 0) return []; // P4 says so
  const samples = micro * dataParallelSize;
  const numbers = { globalBatchSize: global, microBatchSize: micro, dataParallelSize, gpus };
  if (global % samples !== 0) {
    const next = Math.ceil(global / samples) * samples;
    return [
      {
        check: 'P3',
        level: 'block',
        message: `global_batch_size ${grouped(global)} is not a multiple of batch_size ${micro} × ${dataParallelSize} replicas = ${samples}`,
        numbers,
        advice: `set global_batch_size to ${grouped(next)}`,
      },
    ];
  }
  const microBatches = global / samples;
  const bubble = (stages - 1) / (microBatches + stages - 1);
  const isShort = microBatches < stages;
  const formula = `${global} / (${micro} × ${dataParallelSize}) = ${microBatches} micro batches; pipeline bubble (${stages} − 1) / (${microBatches} + ${stages} − 1) = ${percent(bubble)}`;
  const isBad = isShort || bubble > LARGE_BUBBLE;
  return [
    {
      check: 'P3',
      level: isBad ? 'warn' : 'info',
      message: isShort ? `${formula}; fewer micro batches than the ${stages} stages leave stages idle` : formula,
      numbers: { ...numbers, microBatches, bubble },
      ...(isBad ? { advice: 'raise global_batch_size, or use fewer pipeline stages' } : {}),
    },
  ];
}

/** P4: the GPUs and the model's sizes divide by the parallel sizes. One finding for each that does not. */
export function checkSplit({ spec, hyper, model, parallel, gpus }: PlanInput): Finding[] {
  const { tensorParallelSize: tensor, pipelineParallelSize: stages, contextParallelSize: context } = parallel;
  const { gpusPerNode } = spec.compute;
  const replica = tensor * stages * context;
  const length = hyper.sequence_length;
  const rules: [holds: boolean, message: string, advice: string][] = [
    [
      gpus % replica === 0,
      `${gpus} GPUs are not a multiple of TP ${tensor} × PP ${stages} × CP ${context} = ${replica}`,
      'change the parallel sizes or the number of nodes',
    ],
    [
      gpusPerNode % tensor === 0,
      `TP ${tensor} does not divide the ${gpusPerNode} GPUs of a node; its traffic would leave the node`,
      'use a TP that divides gpusPerNode',
    ],
    [model.layers % stages === 0, `${model.layers} layers do not divide over PP ${stages}`, 'change PP'],
    [model.heads % tensor === 0, `${model.heads} attention heads do not divide over TP ${tensor}`, 'lower TP'],
    [
      model.queryGroups % tensor === 0,
      `${model.queryGroups} query groups do not divide over TP ${tensor}`,
      `use a TP that divides ${model.queryGroups}`,
    ],
    [
      model.ffnHiddenSize % tensor === 0,
      `ffn hidden size ${grouped(model.ffnHiddenSize)} does not divide over TP ${tensor}`,
      'lower TP',
    ],
    [
      tensor === 1 || length % tensor === 0,
      `sequence_length ${grouped(length)} does not divide over TP ${tensor}, as sequence parallelism needs`,
      'change sequence_length',
    ],
    [
      context === 1 || length % (2 * context) === 0,
      `sequence_length ${grouped(length)} is not a multiple of 2 × CP = ${2 * context}`,
      'change sequence_length or CP',
    ],
  ];
  const numbers = { gpus, tensorParallelSize: tensor, pipelineParallelSize: stages, contextParallelSize: context };
  const broken = rules.filter(([holds]) => !holds);
  if (broken.length > 0) {
    return broken.map(([, message, advice]) => ({ check: 'P4', level: 'block', message, numbers, advice }));
  }
  const dataParallelSize = gpus / replica;
  const chosen = spec.parallel ? '' : ' (suggested)';
  return [
    {
      check: 'P4',
      level: 'info',
      message: `${gpus} GPUs = TP ${tensor} × PP ${stages} × CP ${context} × ${dataParallelSize} replicas${chosen}`,
      numbers: { ...numbers, dataParallelSize },
    },
  ];
}

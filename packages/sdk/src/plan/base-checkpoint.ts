import { parameterCount } from '../models.ts';
import type { Finding } from '../schemas.ts';
import { grouped } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** P8: there is a base checkpoint, and as far as it is known it is the model's and divided as the run is. */
export function checkBaseCheckpoint(input: PlanInput): Finding[] {
  const { spec, facts } = input;
  if (spec.baseCheckpoint === undefined) {
    return [
      {
        check: 'P8',
        level: 'warn',
        message:
          'no baseCheckpoint: the run starts from random weights, which is pre-training and not its continuation',
        numbers: {},
        advice: 'give the Megatron checkpoint of the model, divided as the run is',
      },
    ];
  }
  return facts.baseCheckpoint === undefined ? [] : [...checkDivision(input), ...checkParameters(input)];
}

function checkDivision({ parallel, facts }: PlanInput): Finding[] {
  const {
    tensorParallelSize: tensor,
    pipelineParallelSize: stages,
    isDistributed,
    source,
  } = facts.baseCheckpoint ?? {};
  if (isDistributed || tensor === undefined || stages === undefined) return [];
  const { tensorParallelSize, pipelineParallelSize } = parallel;
  const isSame = tensor === tensorParallelSize && stages === pipelineParallelSize;
  const numbers = { tensor, stages, tensorParallelSize, pipelineParallelSize };
  const message = `${source} was saved with TP ${tensor} × PP ${stages}, the run has TP ${tensorParallelSize} × PP ${pipelineParallelSize}`;
  if (isSame) return [{ check: 'P8', level: 'info', message, numbers }];
  const advice = 'divide the checkpoint as the run is, or set parallel as the checkpoint is';
  return [{ check: 'P8', level: 'block', message, numbers, advice }];
}

function checkParameters({ spec, model, facts }: PlanInput): Finding[] {
  const { parameters, source } = facts.baseCheckpoint ?? {};
  if (parameters === undefined || model.vocabSize === undefined) return [];
  const expected = parameterCount(model);
  if (parameters === expected) return [];
  const message = `${source} has ${grouped(parameters)} parameters, ${spec.model} has ${grouped(expected)}`;
  const numbers = { parameters, expected };
  return [{ check: 'P8', level: 'block', message, numbers, advice: 'give the checkpoint of the model' }];
}

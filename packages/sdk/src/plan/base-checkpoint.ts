import { parameterCount } from '../models.ts';
import type { Finding } from '../schemas.ts';
import { grouped } from './format.ts';
import type { PlanInput } from './plan-input.ts';

type Base = NonNullable<PlanInput['facts']['baseCheckpoint']>;

/** P8: there is a base checkpoint, and as far as it is known it is whole, the model's, and divided as the run is. */
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
  const { baseCheckpoint: base } = facts;
  if (base === undefined) return [];
  return [
    ...checkReadable(base),
    ...checkDivision(input, base),
    ...checkShape(input, base),
    ...checkParameters(input, base),
    ...checkDtypes(base),
  ];
}

function checkReadable({ problems = [], source }: Base): Finding[] {
  if (problems.length === 0) return [];
  const message = `${source} cannot be loaded as it is: ${problems.join('; ')}`;
  const advice = 'copy it again, or make it anew: ckpt-convert to-megatron';
  return [{ check: 'P8', level: 'block', message, numbers: { problems: problems.length }, advice }];
}

function checkDivision({ parallel }: PlanInput, base: Base): Finding[] {
  const { tensorParallelSize: tensor, pipelineParallelSize: stages, isDistributed, source } = base;
  if (isDistributed || tensor === undefined || stages === undefined) return [];
  const { tensorParallelSize, pipelineParallelSize } = parallel;
  const isSame = tensor === tensorParallelSize && stages === pipelineParallelSize;
  const numbers = { tensor, stages, tensorParallelSize, pipelineParallelSize };
  const message = `${source} was saved with TP ${tensor} × PP ${stages}, the run has TP ${tensorParallelSize} × PP ${pipelineParallelSize}`;
  if (isSame) return [{ check: 'P8', level: 'info', message, numbers }];
  const advice = `ckpt-convert reshard --tp ${tensorParallelSize} --pp ${pipelineParallelSize}, or set parallel as the checkpoint is`;
  return [{ check: 'P8', level: 'block', message, numbers, advice }];
}

/** Sizes that Megatron would refuse only when every GPU has started and loads. */
function checkShape({ spec, model }: PlanInput, base: Base): Finding[] {
  const names = ['layers', 'hiddenSize', 'ffnHiddenSize', 'heads', 'queryGroups'] as const;
  const wrong = names.filter((name) => base[name] !== undefined && base[name] !== model[name]);
  const words = wrong.map((name) => `${name} ${grouped(base[name] as number)} instead of ${grouped(model[name])}`);
  const numbers = Object.fromEntries(
    wrong.flatMap((name) => [
      [name, base[name] as number],
      [`${name}Expected`, model[name]],
    ]),
  );
  const { paddedVocabSize: rows } = base;
  if (rows !== undefined && model.vocabSize !== undefined && rows !== model.vocabSize) {
    words.push(`${grouped(rows)} rows of the embedding table instead of ${grouped(model.vocabSize)}`);
    Object.assign(numbers, { rows, rowsExpected: model.vocabSize });
  }
  if (words.length === 0) return [];
  const message = `${base.source} is not ${spec.model}: ${words.join(', ')}`;
  return [{ check: 'P8', level: 'block', message, numbers, advice: 'give the checkpoint of the model' }];
}

function checkParameters({ spec, model }: PlanInput, { parameters, source }: Base): Finding[] {
  if (parameters === undefined || model.vocabSize === undefined) return [];
  const expected = parameterCount(model);
  if (parameters === expected) return [];
  const message = `${source} has ${grouped(parameters)} parameters, ${spec.model} has ${grouped(expected)}`;
  const numbers = { parameters, expected };
  return [{ check: 'P8', level: 'block', message, numbers, advice: 'give the checkpoint of the model' }];
}

/** The launch scripts train in bf16; a checkpoint of fp32 is rounded when it is loaded, and takes twice the time to read. */
function checkDtypes({ dtypes = [], source }: Base): Finding[] {
  const others = dtypes.filter((dtype) => dtype !== 'BF16');
  if (others.length === 0) return [];
  const message = `${source} holds parameters of ${others.join(' and ')}; the run trains in BF16 and rounds them when it loads`;
  return [{ check: 'P8', level: 'warn', message, numbers: {}, advice: 'convert it to BF16 to read half as much' }];
}

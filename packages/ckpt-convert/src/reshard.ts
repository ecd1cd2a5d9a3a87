import { join } from 'node:path';
import { isKind, type PickleValue, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { checkTensors } from './check-tensors.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { chooseTensors, type TensorChoice } from './choose-tensors.ts';
import { requireUsableOutput } from './convert-checks.ts';
import { parametersOfCheckpoint } from './global-parameters.ts';
import { planHfFiles, readReference } from './hf-files.ts';
import type { IterationChoice } from './locate-checkpoint.ts';
import { type ArgsNamespace, numberArg } from './model-config.ts';
import { pathExists, startMeter } from './node.ts';
import { type DiskCalls, namingReads } from './output/disk.ts';
import { nodeDisk } from './output/node.ts';
import { planConversion } from './plan.ts';
import {
  type CheckpointContent,
  type GridOptions,
  type RankFilesResult,
  withoutCallbacks,
  writeCheckpoint,
} from './rank-files/write-checkpoint.ts';
import { checkShapes } from './resolve.ts';

export interface ReshardOptions extends GridOptions, TensorChoice {
  /** As for `convertCheckpoint`. */
  readonly source: string;
  /** Which iteration of the source. */
  readonly iteration?: IterationChoice;
  /** A folder with the model's config.json and tokenizer; the checkpoint's root when that has them. */
  readonly reference?: string;
  /** Writes `release` in the place of the iteration that the source has. */
  readonly asRelease?: boolean;
}

/**
 * Writes a checkpoint for another grid, straight from rank file to rank file. The iteration and the fields of `args` are kept;
 * optimizer and random states are not, they belong to the old grid. The vocabulary is padded anew from its true size.
 * @throws the errors of `openMegatronCheckpoint` and `convertToMegatron`.
 */
export function reshardCheckpoint(options: ReshardOptions): Promise<RankFilesResult> {
  return reshardOnDisk(options, nodeDisk);
}

/** `reshardCheckpoint` on a disk that a test lets fail. */
export async function reshardOnDisk(options: ReshardOptions, disk: DiskCalls): Promise<RankFilesResult> {
  const measure = startMeter();
  const { source, output, force = false, resume = false, part } = options;
  const { content, checkpoint, resolution, dropped, close } = await openReshardSource(options);
  try {
    const isFilled = await requireUsableOutput(output, [source, checkpoint.directory], { force, resume, part });
    const cut = checkTensors(
      planConversion(checkpoint, resolution, Number.MAX_SAFE_INTEGER).checks,
      namingReads(disk.reads(checkpoint.readInto)),
      options.replica === undefined ? {} : { replica: options.replica },
    );
    const task = { command: 'reshard', source: checkpoint.directory, options: withoutCallbacks(options) } as const;
    const { patches, ...result } = await writeCheckpoint(content, task, { ...options, isFilled }, disk);
    const notes = [
      ...checkpoint.problems,
      ...cut,
      ...patches,
      ...dropped,
      'optimizer and random states are not resharded; training goes on with fresh ones',
    ];
    return { ...result, notes, ...measure() };
  } finally {
    await close();
  }
}

/** Opens the source for `planCheckpoint`. @throws the errors of `openMegatronCheckpoint`. */
export async function openReshardSource(options: ReshardOptions) {
  const { source, iteration, vocabSize, asRelease = false, signal } = options;
  const hasOwn = options.reference === undefined && (await pathExists(join(source, 'config.json')));
  const referencePath = hasOwn ? source : options.reference;
  const companion = referencePath === undefined ? {} : { reference: referencePath };
  const reference = referencePath === undefined ? undefined : await readReference(referencePath);
  const opened = await openMegatronCheckpoint(source, {
    ...(iteration !== undefined && { iteration }),
    ...(vocabSize !== undefined && { vocabSize }),
    ...(reference && { reference }),
    ...(signal && { signal }),
  });
  try {
    const { checkpoint, resolution } = chooseTensors(opened, options);
    checkShapes(checkpoint, resolution);
    const isRelease = asRelease || checkpoint.iteration === 0;
    const hasLocalNames = checkpoint
      .parameters()
      .some(({ localName }) => localName.endsWith('.input_layernorm.weight'));
    const { args, dropped } = keptArgs(checkpoint.args);
    const vocabMultiple = numberArg(checkpoint.args, 'make_vocab_size_divisible_by');
    const { modelConfig: model, readInto, directory } = checkpoint;
    const content: CheckpointContent = {
      model,
      iteration: isRelease ? 'release' : checkpoint.iteration,
      spec: options.spec ?? (hasLocalNames ? 'local' : 'te'),
      ...(vocabMultiple !== undefined && { vocabMultiple }),
      parameters: parametersOfCheckpoint(checkpoint, resolution),
      ...{ readInto, source: directory, args },
      facts: { family: model.family, vocabSize: model.vocabSize },
      companions: async (dtype) => reference && planHfFiles(model, dtype, reference, companion),
    };
    return { content, checkpoint, resolution, dropped, close: () => opened.close() };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Fields that describe the old grid in other words; what describes the new one is made anew and wins over the rest. */
const GRID_ARGS = new Set([
  'num_virtual_stages_per_pipeline_rank',
  'pipeline_model_parallel_layout',
  'standalone_embedding_stage',
  'transformer_pipeline_model_parallel_size',
  'world_size',
  'data_parallel_size',
  'rank',
  'local_rank',
]);

/** The source's `args` that have a plain value, for whoever resumes the schedule; objects of unknown classes are left out. */
function keptArgs(source: ArgsNamespace | undefined): { args: Record<string, WritableValue>; dropped: string[] } {
  const args: Record<string, WritableValue> = {};
  const lost: string[] = [];
  for (const [name, value] of source ?? []) {
    // A NullTokenizer means one more token than `vocab_size` says; the new `vocab_size` says all of them.
    if (GRID_ARGS.has(name) || value === 'NullTokenizer') continue;
    const plain = plainValue(value);
    if (plain === undefined) lost.push(name);
    else args[name] = plain;
  }
  const dropped = lost.length === 0 ? [] : [`args without a plain value are left out: ${lost.join(', ')}`];
  return { args, dropped };
}

function plainValue(value: PickleValue): WritableValue | undefined {
  if (value === null || ['boolean', 'string', 'bigint'].includes(typeof value)) return value as WritableValue;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : { kind: 'float', value };
  if (isKind(value, 'dtype') && value.dtype) return { kind: 'dtype', dtype: value.dtype };
  if (!Array.isArray(value)) return undefined;
  const items = value.map(plainValue);
  if (items.some((item) => item === undefined)) return undefined;
  return items as WritableValue[];
}

import { CptError, InvalidInputError } from '@pai-cpt/core';
import { openSafetensorsDirectory, type SafetensorsDirectory } from '@pai-cpt/safetensors';
import { type MegatronCheckpoint, openMegatronCheckpoint } from './checkpoint.ts';
import { untied } from './choose-tensors.ts';
import { readReference } from './hf-files.ts';
import type { IterationChoice } from './locate-checkpoint.ts';
import type { HfConfig } from './model-config.ts';
import { requireFinished } from './output/output-directory.ts';
import { checkConfig, checkNames, checkRanks, checkSums, type Outcome, outcomeOf } from './verify-checks.ts';
import { type RunReport, runBoth } from './verify-run.ts';
import { compareTensors } from './verify-tensors.ts';

export interface VerifyOptions {
  /** The Hugging Face folder. */
  readonly hf: string;
  /** The checkpoint it was made from. */
  readonly against: string;
  readonly iteration?: IterationChoice;
  /** Also runs both on `data` and compares their hidden states. */
  readonly run?: boolean;
  /** Dataset prefix; needed with `run`. */
  readonly data?: string;
  readonly sequenceLength?: number;
  readonly maxSequences?: number;
  onProgress?(progress: VerifyProgress): void;
  readonly signal?: AbortSignal;
}

export type VerifyProgress =
  | { readonly step: 'compare'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly step: 'run'; readonly layer: number; readonly layers: number; readonly relativeL2: number };

export interface VerifyCheck extends Outcome {
  readonly name: 'checksums' | 'names' | 'config' | 'tensors' | 'ranks' | 'layers';
}

export interface VerifyReport extends Partial<RunReport> {
  readonly ok: boolean;
  readonly checks: readonly VerifyCheck[];
}

/** Above the rounding of float32 by two orders of magnitude, below what one misplaced row does by more. */
const MAX_LAYER_RELATIVE_L2 = 1e-4;

/**
 * Compares a Hugging Face folder with the checkpoint it was made from: names, shapes, configuration, every byte of every tensor,
 * equality of the ranks, and with `run` the hidden states after each layer. A check that fails is in the report and not thrown.
 * @throws the errors of `openMegatronCheckpoint`, and of an output that cannot be opened at all.
 */
export async function verifyCheckpoint(options: VerifyOptions): Promise<VerifyReport> {
  if (options.run && options.data === undefined) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      'running both models needs tokens: pass --data with a dataset prefix',
    );
  }
  requireFinished(options.hf);
  const config = await readReference(options.hf);
  const checkpoint = await openSelfDescribed(config, options);
  try {
    const hf = await openSafetensorsDirectory(options.hf);
    try {
      return await verifyOpened(hf, config, checkpoint, options);
    } finally {
      await hf.close();
    }
  } finally {
    await checkpoint.close();
  }
}

/** The checkpoint as its `args` describe it, since config.json is what is on trial; only without `args` is that believed. */
async function openSelfDescribed(config: HfConfig, options: VerifyOptions): Promise<MegatronCheckpoint> {
  const { against, iteration, signal } = options;
  const given = { ...(iteration !== undefined && { iteration }), ...(signal && { signal }) };
  try {
    return await openMegatronCheckpoint(against, given);
  } catch (error) {
    if (!CptError.isInstance(error) || error.code !== 'CPT_CONFIG_MODEL') throw error;
    return openMegatronCheckpoint(against, { ...given, reference: config });
  }
}

async function verifyOpened(
  hf: SafetensorsDirectory,
  config: HfConfig,
  opened: MegatronCheckpoint,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const isUntied =
    opened.modelConfig.isTied && config.tie_word_embeddings === false && hf.tensors.has('lm_head.weight');
  const checkpoint = isUntied ? untied(opened) : opened;
  const checks: VerifyCheck[] = [];
  const check = async (name: VerifyCheck['name'], judge: () => Promise<Outcome> | Outcome) => {
    options.signal?.throwIfAborted();
    checks.push({ name, ...(await failedByError(judge)) });
  };
  await check('checksums', () => checkSums(checkpoint, options.signal));
  await check('names', () => checkNames(hf, config, checkpoint));
  await check('config', () => withNote(checkConfig(config, checkpoint), isUntied ? describeUntied(opened) : ''));
  await check('tensors', () => checkBytes(hf, checkpoint, options));
  await check('ranks', () => checkRanks(checkpoint));
  let ran: RunReport | undefined;
  if (options.run) {
    await check('layers', async () => {
      ran = await runBoth(hf, config, checkpoint, runOptions(checkpoint, options));
      return judgeRun(ran);
    });
  }
  return { ok: checks.every(({ ok }) => ok), checks, ...ran };
}

/** One of our own errors inside a check is a failed check; anything else is not ours to judge. */
export async function failedByError(judge: () => Promise<Outcome> | Outcome): Promise<Outcome> {
  try {
    return await judge();
  } catch (error) {
    if (!CptError.isInstance(error)) throw error;
    return { ok: false, detail: `${error.message} [${error.code}]` };
  }
}

const withNote = ({ ok, detail }: Outcome, note: string): Outcome => ({ ok, detail: detail + note });

/** Where the head of a folder comes from that was written with `--untie`. */
function describeUntied(opened: MegatronCheckpoint): string {
  const hasCopy = opened.parameters().some(({ megatronName }) => megatronName === 'output_layer.weight');
  const table = hasCopy ? "the last stage's copy of the embedding" : 'the embedding again';
  return `; the checkpoint is tied and the folder is not: its lm_head.weight is held against ${table}`;
}

async function checkBytes(hf: SafetensorsDirectory, checkpoint: MegatronCheckpoint, options: VerifyOptions) {
  const totalBytes = [...hf.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const { tensors, bytes, casts, nonFinite, faults } = await compareTensors(hf, checkpoint, {
    onProgress: (doneBytes) => options.onProgress?.({ step: 'compare', doneBytes, totalBytes }),
    ...(options.signal && { signal: options.signal }),
  });
  const after = casts.length > 0 ? `, after the cast ${casts.join(' and ')}` : '';
  const { elements, first } = nonFinite;
  const warning = elements > 0 ? `; ${elements} elements are NaN or infinite, first in "${first}"` : '';
  return outcomeOf(faults, `${tensors} tensors, ${bytes} bytes equal to the bit${after}${warning}`);
}

function runOptions(checkpoint: MegatronCheckpoint, options: VerifyOptions) {
  const { data = '', sequenceLength, maxSequences, onProgress, signal } = options;
  const { layers } = checkpoint.modelConfig;
  return {
    data,
    ...(sequenceLength !== undefined && { sequenceLength }),
    ...(maxSequences !== undefined && { maxSequences }),
    onLayer(layer: number, relativeL2: number) {
      signal?.throwIfAborted();
      onProgress?.({ step: 'run', layer, layers, relativeL2 });
    },
  };
}

function judgeRun(ran: RunReport): Outcome {
  const { layers, maxLayerRelativeL2, sequences, availableSequences, sequenceLength, validationLoss } = ran;
  const limit = MAX_LAYER_RELATIVE_L2;
  const losses = `validation loss ${validationLoss.hf.toFixed(6)} and ${validationLoss.megatron.toFixed(6)}`;
  const count = sequences < availableSequences ? `${sequences} of ${availableSequences}` : sequences;
  const over = `${count} sequences of ${sequenceLength} tokens`;
  const bad = layers.find(({ relativeL2 }) => !(relativeL2 <= limit));
  if (!bad) {
    const most = maxLayerRelativeL2.toExponential(1);
    return { ok: true, detail: `hidden states differ by at most ${most} (relative L2) on ${over}; ${losses}` };
  }
  const detail = `layer ${bad.layer} is the first to differ: ${bad.relativeL2.toExponential(1)} (relative L2), above ${limit}, on ${over}; ${losses}`;
  return { ok: false, detail };
}

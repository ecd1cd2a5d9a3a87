import { InvalidInputError } from '@pai-cpt/core';
import { countNeverRead } from './never-read.ts';
import type { MmapDataset } from './read.ts';
import { planSamples, replaySamples, type SamplePart, sampleParts } from './sample-index.ts';
import { SPLIT_NAMES, type SplitBorders, type SplitName, splitBorders } from './split-shares.ts';

export interface EstimateOptions {
  sequenceLength: number;
  globalBatchSize: number;
  /** Tokens to train on; the launch script divides down to whole iterations. Or give `iterations`, or neither for one epoch. */
  trainTokens?: number;
  iterations?: number;
  /** Megatron's `--split`; `99,1,0`, the launcher's, when not given. */
  split?: string;
  seed?: number;
  /** Iterations between two validations; 10000 when not given, as in the launch script. */
  evalInterval?: number;
  /** Batches of one validation; 10 when not given, as in the launch script. */
  evalIterations?: number;
  /** An iteration, 1 for the first, whose documents are to be listed. */
  showIteration?: number;
  /** Memory for the replay that counts tokens never read; 1 GiB when not given. Past it they are not counted. */
  maxReplayBytes?: number;
}

/** What training sees of one split. */
export interface SplitEstimate {
  /** Sequences `from` to `to` (not included) of the file. */
  sequences: { from: number; to: number };
  tokens: number;
  /** Whole samples of one epoch; 0 when there are fewer than L + 1 tokens. */
  samplesPerEpoch: number;
  /** Whole global batches of one epoch. */
  iterationsPerEpoch: number;
  /** `undefined` when the number of iterations is not known. */
  samplesAsked?: number;
  /** Tokens asked for over tokens there are. */
  epochsAsked?: number;
  /** Whole epochs that Megatron lays end to end; 0 when it cannot. */
  epochs: number;
  isLastEpochApart: boolean;
  /** Tokens that no sample reads; `undefined` when the replay would not fit its memory. */
  tokensNeverRead?: number;
}

export interface Estimate {
  prefix: string;
  documents: number;
  sequences: number;
  tokens: number;
  /** Tokens in a document: `p50` is the smallest length that at least half of the documents do not exceed. */
  documentLengths: { mean: number; min: number; p10: number; p50: number; p90: number; p99: number; max: number };
  tokensPerIteration: number;
  iterations?: number;
  /** Tokens of all iterations; up to one iteration less than what was asked for. */
  trainTokens?: number;
  splits: Partial<Record<SplitName, SplitEstimate>>;
  warnings: string[];
  /** The samples of the iteration asked for, in the order in which training takes them. */
  shown?: { iteration: number; samples: { sample: number; parts: DocumentPart[] }[] };
}

/** A part of a sample and the document it lies in. */
export interface DocumentPart extends SamplePart {
  document: number;
}

const MANY_EPOCHS = 4;

/**
 * What a training run would see of a dataset, by Megatron's own arithmetic. Reads the index only.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for options that cannot be, `CPT_INPUT_EMPTY_DATASET` when `showIteration` is
 * asked of a training split without tokens.
 */
export function estimateDataset(dataset: MmapDataset, options: EstimateOptions): Estimate {
  const { sequenceLength, globalBatchSize } = options;
  const iterations = planIterations(options);
  const borders = splitBorders(options.split ?? '99,1,0', dataset.sequenceCount);
  const asked = samplesAsked(iterations, options);
  const tokensPerIteration = globalBatchSize * sequenceLength;
  const splits: Estimate['splits'] = {};
  for (const name of SPLIT_NAMES) {
    const range = borders[name];
    if (range) splits[name] = estimateSplit(dataset.lengths, range, asked?.[name], options);
  }
  return {
    prefix: dataset.prefix,
    documents: dataset.documentCount,
    sequences: dataset.sequenceCount,
    tokens: dataset.tokenCount,
    documentLengths: documentLengths(dataset),
    tokensPerIteration,
    ...(iterations !== undefined && { iterations, trainTokens: iterations * tokensPerIteration }),
    splits,
    warnings: [...dataset.warnings, ...findWarnings(dataset, splits, borders, options)],
    ...(options.showIteration !== undefined && {
      shown: showIteration(dataset, borders, asked?.train, options.showIteration, options),
    }),
  };
}

function planIterations(options: EstimateOptions): number | undefined {
  const { trainTokens, iterations, globalBatchSize, sequenceLength } = options;
  for (const field of ['globalBatchSize', 'trainTokens', 'iterations', 'evalInterval', 'evalIterations'] as const) {
    const value = options[field];
    if (value === undefined || (Number.isSafeInteger(value) && value > 0)) continue;
    throw invalid(field, `${field} ${value} is not a whole number above 0`);
  }
  if (trainTokens === undefined) return iterations;
  if (iterations !== undefined) throw invalid('iterations', 'give the tokens to train on or the iterations, not both');
  const found = Math.floor(Math.floor(trainTokens / globalBatchSize) / sequenceLength);
  if (found > 0) return found;
  throw invalid(
    'trainTokens',
    `${trainTokens} tokens are less than one iteration of ${globalBatchSize} × ${sequenceLength}; the launch script would run 0 iterations`,
  );
}

/** Validation runs every interval and once at the end; Megatron reserves samples for all of them. */
function samplesAsked(
  iterations: number | undefined,
  { globalBatchSize, evalInterval = 10000, evalIterations = 10 }: EstimateOptions,
): Record<SplitName, number> | undefined {
  if (iterations === undefined) return undefined;
  return {
    train: iterations * globalBatchSize,
    valid: (Math.floor(iterations / evalInterval) + 1) * evalIterations * globalBatchSize,
    test: evalIterations * globalBatchSize,
  };
}

function estimateSplit(
  lengths: Int32Array,
  range: { from: number; to: number },
  asked: number | undefined,
  options: EstimateOptions,
): SplitEstimate {
  const { sequenceLength, globalBatchSize, seed, maxReplayBytes = 2 ** 30 } = options;
  let tokens = 0;
  for (let i = range.from; i < range.to; i++) tokens += lengths[i] as number;
  const none = { samplesPerEpoch: 0, iterationsPerEpoch: 0, epochs: 0, isLastEpochApart: false };
  const estimate: SplitEstimate = { sequences: range, tokens, ...none };
  if (asked !== undefined) estimate.samplesAsked = asked;
  if (tokens < 2) return estimate;

  const request = { sequenceLength, ...(asked !== undefined && { samples: asked }) };
  const { samples, epochs, samplesPerEpoch, isLastEpochApart } = planSamples({ ...request, tokens });
  estimate.samplesPerEpoch = samplesPerEpoch;
  estimate.iterationsPerEpoch = Math.floor(samplesPerEpoch / globalBatchSize);
  estimate.epochs = epochs;
  estimate.isLastEpochApart = isLastEpochApart;
  if (asked !== undefined) estimate.epochsAsked = (asked * sequenceLength) / tokens;
  if (4 * (range.to - range.from) * epochs + 17 * samples <= maxReplayBytes) {
    const replay = replaySamples({ ...request, lengths, range, ...(seed !== undefined && { seed }) });
    estimate.tokensNeverRead = countNeverRead(replay, lengths, sequenceLength, asked ?? samples);
  }
  return estimate;
}

function documentLengths({ lengths, documentIndex, documentCount }: MmapDataset): Estimate['documentLengths'] {
  const sizes = new Float64Array(documentCount);
  let total = 0;
  for (let document = 0; document < documentCount; document++) {
    let size = 0;
    for (let i = documentIndex[document] as number; i < (documentIndex[document + 1] as number); i++)
      size += lengths[i] as number;
    sizes[document] = size;
    total += size;
  }
  sizes.sort();
  const quantile = (share: number) => sizes[Math.max(0, Math.ceil(share * documentCount) - 1)] ?? 0;
  return {
    mean: documentCount === 0 ? 0 : total / documentCount,
    min: quantile(0),
    p10: quantile(0.1),
    p50: quantile(0.5),
    p90: quantile(0.9),
    p99: quantile(0.99),
    max: quantile(1),
  };
}

function findWarnings(
  dataset: MmapDataset,
  splits: Estimate['splits'],
  borders: SplitBorders,
  { sequenceLength }: EstimateOptions,
): string[] {
  const { documentIndex, documentCount, sequenceCount } = dataset;
  const warnings: string[] = [];
  let severed = 0;
  for (let i = 0; i < documentCount; i++) {
    if ((documentIndex[i + 1] as number) - (documentIndex[i] as number) > 1) severed++;
  }
  if (severed > 0) {
    warnings.push(
      `${severed} of ${documentCount} documents have several of the ${sequenceCount} sequences: Megatron shuffles and splits by sequences and tears them apart; build with one sequence a document`,
    );
  }
  if (!borders.train) warnings.push('the split gives training nothing');
  if (!borders.valid) warnings.push('the split gives validation nothing: there will be no validation loss');
  for (const name of SPLIT_NAMES) {
    const split = splits[name];
    if (!split) continue;
    if (split.tokens < 2) {
      warnings.push(
        `the ${name} split holds ${split.tokens} tokens: Megatron never ends building its samples; give it a larger share, or 0`,
      );
    } else if (split.tokens < sequenceLength + 1) {
      warnings.push(
        `the ${name} split holds ${split.tokens} tokens, fewer than the ${sequenceLength + 1} of one sample: Megatron repeats it until it has enough`,
      );
    } else if (split.tokensNeverRead === undefined) {
      warnings.push(`the ${name} split is too large to replay in memory: tokens that are never read were not counted`);
    }
  }
  const epochs = splits.train?.epochsAsked ?? 0;
  if (epochs > MANY_EPOCHS) {
    warnings.push(
      `training reads its tokens ${epochs.toFixed(1)} times; past ${MANY_EPOCHS} times repeated data helps little: train on fewer tokens or add data`,
    );
  }
  return warnings;
}

function showIteration(
  dataset: MmapDataset,
  borders: SplitBorders,
  samples: number | undefined,
  iteration: number,
  { sequenceLength, globalBatchSize, seed }: EstimateOptions,
): NonNullable<Estimate['shown']> {
  if (!borders.train) throw invalid('showIteration', 'the split gives training nothing to show');
  const replay = replaySamples({
    lengths: dataset.lengths,
    range: borders.train,
    sequenceLength,
    ...(samples !== undefined && { samples }),
    ...(seed !== undefined && { seed }),
  });
  const last = Math.floor((samples ?? replay.samples) / globalBatchSize);
  if (!Number.isInteger(iteration) || iteration < 1 || iteration > last) {
    throw invalid('showIteration', `iteration ${iteration} does not exist; there are 1 to ${last}`);
  }
  const first = (iteration - 1) * globalBatchSize;
  return {
    iteration,
    samples: Array.from({ length: globalBatchSize }, (_, i) => ({
      sample: first + i,
      parts: sampleParts(replay, dataset.lengths, first + i).map((part) => ({
        document: documentOf(dataset.documentIndex, part.sequence),
        ...part,
      })),
    })),
  };
}

/** The document that holds a sequence: the last one that begins at it or before, which passes over empty documents. */
function documentOf(documentIndex: Uint32Array, sequence: number): number {
  let low = 0;
  let high = documentIndex.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((documentIndex[middle] as number) <= sequence) low = middle;
    else high = middle;
  }
  return low;
}

function invalid(field: string, message: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', message, { field });
}

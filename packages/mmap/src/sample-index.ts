/*
 * Which tokens Megatron trains on, in which order (NVIDIA/Megatron-LM, megatron/core/datasets/gpt_dataset.py, helpers.cpp):
 *
 *   sequence order   the sequences of a split, `epochs` times over, shuffled          (Megatron's document index)
 *        │  laid end to end, cut every L tokens
 *        ▼
 *   sample starts    place in that order and offset in the sequence, n + 1 of them    (sample index)
 *        │  sample k reads L + 1 tokens from its start: the last is the first of sample k + 1
 *        ▼
 *   shuffle index    the sample that training takes first, second, …                  (shuffle index)
 *
 * Documents are cut anywhere and joined without padding. Everything here goes by sequences, as Megatron does.
 */
import { InvalidInputError } from '@pai-cpt/core';
import { createRandomState } from './mersenne-twister.ts';

/** Megatron's `--seed` when none is given. */
export const DEFAULT_SEED = 1234;

export interface SampleRequest {
  /** Tokens of one epoch: of all sequences of the split. */
  tokens: number;
  /** Inputs of one sample, L. */
  sequenceLength: number;
  /** Samples that training asks for: iterations × global batch size; `undefined`: one epoch. */
  samples?: number;
  /** Keep a last sample that is padded: `drop_last_partial_validation_sequence` off, in validation only. */
  keepsPartialSample?: boolean;
}

/** How far the tokens go. */
export interface SamplePlan {
  /** Whole epochs that Megatron lays end to end. */
  epochs: number;
  /** Samples in them, n; at least as many as asked for. */
  samples: number;
  /** Whole samples of one epoch on its own. */
  samplesPerEpoch: number;
  /** True when the last epoch is shuffled on its own, so that its few samples come last. */
  isLastEpochApart: boolean;
  /** Samples before the last epoch; 0 for one epoch. */
  samplesBeforeLastEpoch: number;
}

/**
 * The arithmetic of `GPTDataset`, without touching a sequence.
 * @throws InvalidInputError `CPT_INPUT_EMPTY_DATASET` for a split without tokens, over which Megatron loops for ever, or with one, on which it asserts;
 * `CPT_INPUT_INVALID` for a sequence length below 2, which its index builder asserts against.
 */
export function planSamples(request: SampleRequest): SamplePlan {
  const { tokens, sequenceLength, samples } = request;
  if (!Number.isSafeInteger(sequenceLength) || sequenceLength < 2) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `sequence length ${sequenceLength} is not a whole number above 1`,
      {
        field: 'sequenceLength',
      },
    );
  }
  if (tokens < 2) {
    throw new InvalidInputError(
      'CPT_INPUT_EMPTY_DATASET',
      `a split of ${tokens} tokens is too small: Megatron needs 2 and never ends on 0; give it a larger share`,
      { field: 'split' },
    );
  }
  const epochs = samples === undefined ? 1 : Math.max(1, Math.ceil((samples * sequenceLength + 1) / tokens));
  const samplesPerEpoch = Math.floor((tokens - 1) / sequenceLength);
  const samplesBeforeLastEpoch = epochs === 1 ? 0 : Math.floor(((epochs - 1) * tokens - 1) / sequenceLength);
  const inLastEpoch = (samples ?? 0) - samplesBeforeLastEpoch;
  return {
    epochs,
    samples: countSamples(epochs * tokens, sequenceLength, request.keepsPartialSample ?? false),
    samplesPerEpoch,
    isLastEpochApart: epochs > 1 && inLastEpoch < Math.trunc(0.8 * samplesPerEpoch),
    samplesBeforeLastEpoch,
  };
}

/** A kept partial sample is counted by a ceiling in 32-bit floats, one off in either direction from 2^24 tokens on. */
function countSamples(total: number, sequenceLength: number, keepsPartialSample: boolean): number {
  if (!keepsPartialSample) return Math.floor((total - 1) / sequenceLength);
  return Math.ceil(Math.fround(Math.fround(total - 1) / Math.fround(sequenceLength)));
}

export interface ReplayOptions extends Omit<SampleRequest, 'tokens'> {
  /** Tokens of every sequence of the dataset. */
  lengths: Int32Array;
  /** The sequences of the split: `from` to `to` (not included). All of them when not given. */
  range?: { from: number; to: number };
  /** Megatron's `--seed`, 1234 when not given. */
  seed?: number;
}

/** The three indices of Megatron, and the plan behind them. */
export interface SampleReplay extends SamplePlan {
  sequenceOrder: Int32Array;
  /** `[n + 1]` each. */
  sampleStarts: { places: Float64Array; offsets: Int32Array };
  /** `[n]` */
  shuffleIndex: Uint32Array;
}

/**
 * Megatron's own indices, number for number: the same generator of random numbers serves the sequence order, then the shuffle
 * index. Takes 4 bytes per sequence and epoch and 16 per sample.
 * @throws InvalidInputError as `planSamples`; `CPT_INPUT_INVALID` where a kept partial sample ends Megatron in an assertion.
 */
export function replaySamples(options: ReplayOptions): SampleReplay {
  const { lengths, range = { from: 0, to: lengths.length }, seed = DEFAULT_SEED } = options;
  let tokens = 0;
  for (let i = range.from; i < range.to; i++) tokens += lengths[i] as number;
  const plan = planSamples({ ...options, tokens });
  const random = createRandomState(seed);

  const count = range.to - range.from;
  const sequenceOrder = new Int32Array(count * plan.epochs);
  for (let i = 0; i < sequenceOrder.length; i++) sequenceOrder[i] = range.from + (i % count);
  const shuffledTogether = plan.isLastEpochApart ? count * (plan.epochs - 1) : sequenceOrder.length;
  random.shuffle(sequenceOrder.subarray(0, shuffledTogether));
  random.shuffle(sequenceOrder.subarray(shuffledTogether));

  const sampleStarts = locateSamples(lengths, sequenceOrder, options.sequenceLength, plan.samples);
  const shuffleIndex = new Uint32Array(plan.samples);
  for (let i = 0; i < shuffleIndex.length; i++) shuffleIndex[i] = i;
  const drawnTogether = plan.isLastEpochApart ? plan.samplesBeforeLastEpoch : plan.samples;
  random.shuffle(shuffleIndex.subarray(0, drawnTogether));
  random.shuffle(shuffleIndex.subarray(drawnTogether));
  return { ...plan, sequenceOrder, sampleStarts, shuffleIndex };
}

/** Where each sample starts, and where one more would. A start never lies at the end of a sequence: it names a token. */
function locateSamples(
  lengths: Int32Array,
  order: Int32Array,
  sequenceLength: number,
  samples: number,
): SampleReplay['sampleStarts'] {
  const places = new Float64Array(samples + 1);
  const offsets = new Int32Array(samples + 1);
  let place = 0;
  let offset = 0;
  for (let sample = 1; sample <= samples; sample++) {
    let wanted = sequenceLength + 1;
    for (;;) {
      const here = (lengths[order[place] as number] as number) - offset;
      if (wanted <= here) {
        offset += wanted - 1;
        break;
      }
      wanted -= here;
      if (place === order.length - 1) {
        offset += here - 1;
        if (sample !== samples || offset < 0) throw megatronAsserts();
        break;
      }
      place++;
      offset = 0;
    }
    places[sample] = place;
    offsets[sample] = offset;
  }
  return { places, offsets };
}

function megatronAsserts(): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_INVALID',
    'keeping the partial last sample of this validation split ends Megatron in an assertion; leave drop_last_partial_validation_sequence on',
    { field: 'keepsPartialSample' },
  );
}

/** `count` tokens of a sequence, from its token `from` on. */
export interface SamplePart {
  sequence: number;
  from: number;
  count: number;
}

/**
 * What the sample that training takes as `number` (0 for the first) reads, in order and without empty parts: L + 1 tokens, fewer in a padded sample.
 */
export function sampleParts(replay: SampleReplay, lengths: Int32Array, number: number): SamplePart[] {
  const sample = replay.shuffleIndex[number];
  if (sample === undefined) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `sample ${number} does not exist; ${replay.samples} samples were laid out`,
      { field: 'sample' },
    );
  }
  return partsBetween(replay, lengths, sample, sample + 1);
}

/** The tokens from the start of one sample to the first token of another, included. */
export function partsBetween(replay: SampleReplay, lengths: Int32Array, sample: number, end: number): SamplePart[] {
  const { places, offsets } = replay.sampleStarts;
  const [first, last] = [places[sample] as number, places[end] as number];
  const parts: SamplePart[] = [];
  for (let place = first; place <= last; place++) {
    const sequence = replay.sequenceOrder[place] as number;
    const from = place === first ? (offsets[sample] as number) : 0;
    const to = place === last ? (offsets[end] as number) + 1 : (lengths[sequence] as number);
    if (to > from) parts.push({ sequence, from, count: to - from });
  }
  return parts;
}

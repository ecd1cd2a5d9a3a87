import { InvalidInputError } from '@pai-cpt/core';

/** The part of an open dataset that training reads: a range of its concatenated tokens. */
export interface TokenStream {
  readonly prefix: string;
  readonly tokenCount: number;
  tokens(from: number, count: number): Promise<Int32Array>;
}

/**
 * Windows of L+1 tokens over a token stream: window i starts at token i·L, so that the last token of one window, which
 * is only predicted there, is the first input of the next. Tokens behind the last full window are left out.
 */
export interface Samples {
  /** Windows in the stream. */
  readonly count: number;
  /** Tokens predicted in one window, L. */
  readonly sequenceLength: number;
  /** The windows with these numbers, one after the other: `[windows.length, L+1]`. */
  read(windows: ArrayLike<number>): Promise<Int32Array>;
}

/**
 * The windows of `stream`.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when the stream does not hold one window.
 */
export function openSamples(stream: TokenStream, sequenceLength: number): Samples {
  const count = Math.floor((stream.tokenCount - 1) / sequenceLength);
  if (count < 1) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${stream.prefix}: ${stream.tokenCount} tokens; one sample needs ${sequenceLength + 1}. Lower --seq-length or add text`,
      { field: 'data-path', file: `${stream.prefix}.bin` },
    );
  }
  const width = sequenceLength + 1;
  return {
    count,
    sequenceLength,
    async read(windows) {
      const ids = new Int32Array(windows.length * width);
      for (let i = 0; i < windows.length; i++) {
        ids.set(await stream.tokens((windows[i] as number) * sequenceLength, width), i * width);
      }
      return ids;
    },
  };
}

/** Where a replica stands and how an iteration's samples are cut. */
export interface BatchLayout {
  readonly rank: number;
  readonly worldSize: number;
  readonly microBatchSize: number;
  readonly globalBatchSize: number;
}

/**
 * The windows of each micro-batch that one replica runs after `consumedSamples`. Samples are dealt as Megatron's sampler
 * deals them: micro-batch by micro-batch, and within one over the replicas, so the samples of an iteration do not
 * depend on how many replicas there are.
 */
export function microBatches(order: SampleOrder, consumedSamples: number, layout: BatchLayout): number[][] {
  const { rank, worldSize, microBatchSize, globalBatchSize } = layout;
  const batches: number[][] = [];
  for (let at = 0; at < globalBatchSize; at += microBatchSize * worldSize) {
    const first = consumedSamples + at + rank * microBatchSize;
    batches.push(Array.from({ length: microBatchSize }, (_, i) => order(first + i)));
  }
  return batches;
}

/** The window that is trained on as the n-th sample of the run. */
export type SampleOrder = (sample: number) => number;

/** All windows once per epoch, in an order that depends on the seed and the epoch alone. */
export function shuffledOrder(count: number, seed: number): SampleOrder {
  let epoch = -1;
  let windows = new Uint32Array(0);
  return (sample) => {
    const wanted = Math.floor(sample / count);
    if (wanted !== epoch) {
      windows = permutation(count, mulberry32(seed, wanted));
      epoch = wanted;
    }
    return windows[sample % count] as number;
  };
}

/** Fisher and Yates' shuffle of 0 … count-1. */
function permutation(count: number, random: () => number): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const held = order[i] as number;
    order[i] = order[j] as number;
    order[j] = held;
  }
  return order;
}

/** Tommy Ettinger's mulberry32: numbers in [0, 1) from 32 bits of state, here mixed from the seed and the epoch. */
function mulberry32(seed: number, epoch: number): () => number {
  let state = (seed + Math.imul(epoch, 0x9e3779b9)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

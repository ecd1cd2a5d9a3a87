import { UnsupportedError } from '@pai-cpt/core';
import type { ModelShape } from './model-shape.ts';
import { rotaryTables } from './rotary.ts';
import { float32Tensor, openSession, type Session, type Tensors } from './session.ts';
import type { TokenBatch } from './token-batch.ts';

/**
 * A model run over one batch, layer by layer: the weights of one layer, or of one rank's half of one, are in memory at a time,
 * and hidden states `[B·S, H]` of one layer.
 */
export interface LayerwiseModel {
  /** Hidden states before the first layer. */
  embed(): Promise<Float32Array>;
  /** Replaces the hidden states before the layer by those after it. */
  runLayer(layer: number, hidden: Float32Array): Promise<void>;
  /** Mean negative log-likelihood of the targets, from the hidden states after the last layer. */
  loss(hidden: Float32Array): Promise<number>;
  close(): Promise<void>;
}

/** What the parts of a pass over one batch share. */
export interface PassContext {
  readonly shape: ModelShape;
  readonly batch: TokenBatch;
  readonly runs: readonly BatchRun[];
  readonly sessions: SessionCache;
}

/** @throws UnsupportedError `CPT_UNSUPPORTED_RUN` for sequences longer than the model's sliding window. */
export function createPass(shape: ModelShape, batch: TokenBatch, threads: number | undefined): PassContext {
  const { slidingWindow = Number.POSITIVE_INFINITY } = shape;
  if (batch.length > slidingWindow) {
    const why = `sequences of ${batch.length} tokens pass the sliding window of ${slidingWindow}, which is not computed; shorten them`;
    throw new UnsupportedError('CPT_UNSUPPORTED_RUN', why, { feature: 'sliding window' });
  }
  return { shape, batch, runs: batchRuns(batch, shape), sessions: new SessionCache(threads) };
}

/** Sessions by a key that names all that their graph depends on. */
export class SessionCache {
  readonly #sessions = new Map<string, Promise<Session>>();
  readonly #threads: number | undefined;

  constructor(threads: number | undefined) {
    this.#threads = threads;
  }

  get(key: string, model: () => Uint8Array): Promise<Session> {
    const known = this.#sessions.get(key);
    if (known) return known;
    const opened = openSession(model(), { threads: this.#threads });
    this.#sessions.set(key, opened);
    return opened;
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).close();
    this.#sessions.clear();
  }
}

/** Whole sequences that go through a graph together. */
export interface BatchRun {
  readonly fromRow: number;
  readonly toRow: number;
  /** `cos` and `sin` of the rows. */
  readonly rotary: Tensors;
}

/** Rows of one run, unless a single sequence is longer: it bounds the memory of a layer's inner values. */
const ROWS_PER_RUN = 2048;

function batchRuns(batch: TokenBatch, shape: ModelShape): BatchRun[] {
  const { sequenceCount, length } = batch;
  const perRun = Math.max(1, Math.floor(ROWS_PER_RUN / length));
  const { cos, sin } = rotaryTables(shape, 0, length);
  const runs: BatchRun[] = [];
  for (let from = 0; from < sequenceCount; from += perRun) {
    const count = Math.min(perRun, sequenceCount - from);
    const size = [count, length, shape.headDim / 2];
    const rotary = { cos: float32Tensor(repeat(cos, count), size), sin: float32Tensor(repeat(sin, count), size) };
    runs.push({ fromRow: from * length, toRow: (from + count) * length, rotary });
  }
  return runs;
}

/** The rows of a run, in the memory of all rows. */
export function rowsOf(values: Float32Array, run: BatchRun, width: number): Float32Array {
  return values.subarray(run.fromRow * width, run.toRow * width);
}

function repeat(table: Float32Array, times: number): Float32Array {
  const all = new Float32Array(table.length * times);
  for (let i = 0; i < times; i++) all.set(table, i * table.length);
  return all;
}

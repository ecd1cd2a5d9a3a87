import { MappingError } from '@pai-cpt/core';
import { embeddingChunkGraph, finalNormGraph, headChunkGraph } from './graphs/vocabulary.ts';
import { type PassContext, rowsOf } from './layerwise.ts';
import type { ModelShape } from './model-shape.ts';
import { float32Data, float32Tensor, int32Tensor } from './session.ts';
import type { TokenBatch } from './token-batch.ts';
import { readWeight, requireWeight, type WeightSource, weightDtype } from './weights.ts';

/** A table with a row per token, or the part of it that one rank owns. */
export interface TablePart {
  readonly source: WeightSource;
  readonly name: string;
}

interface PlacedPart extends TablePart {
  /** Token of the part's first row. */
  readonly firstToken: number;
  /** Rows in storage, padding included. */
  readonly rows: number;
}

/** Most embedding rows in memory at a time. */
const EMBEDDING_ROWS = 1024;
/** Most head rows in memory at a time; it bounds the logits in memory too. */
const HEAD_ROWS = 8192;

/** Hidden states before the first layer. Blocks of the table that hold no token of the batch are not read. */
export async function embedTokens(pass: PassContext, parts: readonly TablePart[]): Promise<Float32Array> {
  const { shape, batch, sessions } = pass;
  const width = shape.hiddenSize;
  const hidden = new Float32Array(batch.inputs.length * width);
  for (const part of placeParts(parts, shape)) {
    const dtype = weightDtype(part.source, part.name);
    const session = await sessions.get(`embedding ${dtype}`, () => embeddingChunkGraph(shape, dtype));
    for (const [from, batchRows] of rowsByBlock(batch, part)) {
      const range = { from, to: Math.min(from + EMBEDDING_ROWS, part.rows) };
      const weight = await readWeight(part.source, part.name, [part.rows, width], range);
      const tableRows = Int32Array.from(batchRows, (row) => (batch.inputs[row] as number) - part.firstToken - from);
      const { y } = await session.run({ weight, rows: int32Tensor(tableRows, [tableRows.length]) }, ['y']);
      const values = float32Data(y);
      batchRows.forEach((row, index) => {
        hidden.set(values.subarray(index * width, (index + 1) * width), row * width);
      });
    }
  }
  return hidden;
}

/** Rows of the batch whose token lies in the part, by the first table row of the token's block. */
function rowsByBlock(batch: TokenBatch, part: PlacedPart): Map<number, number[]> {
  const blocks = new Map<number, number[]>();
  batch.inputs.forEach((token, row) => {
    const tableRow = token - part.firstToken;
    if (tableRow < 0 || tableRow >= part.rows) return;
    const from = tableRow - (tableRow % EMBEDDING_ROWS);
    const rows = blocks.get(from);
    if (rows) rows.push(row);
    else blocks.set(from, [row]);
  });
  return blocks;
}

/**
 * Mean negative log-likelihood of the batch's targets, from the hidden states after the last layer. The parts of the head follow
 * each other token by token; rows past the vocabulary are padding and take no part.
 */
export async function headLoss(
  pass: PassContext,
  hidden: Float32Array,
  norm: TablePart,
  head: readonly TablePart[],
): Promise<number> {
  const { shape, batch, runs, sessions } = pass;
  const width = shape.hiddenSize;
  const normed = await applyNorm(pass, hidden, norm);
  const logSums = new Float64Array(batch.targets.length).fill(Number.NEGATIVE_INFINITY);
  const chosen = new Float64Array(batch.targets.length);
  for (const part of placeParts(head, shape)) {
    const dtype = weightDtype(part.source, part.name);
    const session = await sessions.get(`head ${dtype}`, () => headChunkGraph(shape, dtype));
    const rows = Math.min(part.rows, shape.vocabSize - part.firstToken);
    for (let from = 0; from < rows; from += HEAD_ROWS) {
      const range = { from, to: Math.min(rows, from + HEAD_ROWS) };
      const weight = await readWeight(part.source, part.name, [part.rows, width], range);
      for (const run of runs) {
        const local = batch.targets.subarray(run.fromRow, run.toRow).map((token) => token - part.firstToken - from);
        const isHere = local.map((row) => (row >= 0 && row < range.to - from ? 1 : 0));
        const targets = int32Tensor(
          local.map((row, index) => row * (isHere[index] as number)),
          [local.length, 1],
        );
        const x = float32Tensor(rowsOf(normed, run, width), [local.length, width]);
        const result = await session.run({ x, weight, targets }, ['logSum', 'chosen']);
        float32Data(result.logSum).forEach((logSum, index) => {
          const row = run.fromRow + index;
          logSums[row] = addLogarithms(logSums[row] as number, logSum);
        });
        float32Data(result.chosen).forEach((logit, index) => {
          if (isHere[index]) chosen[run.fromRow + index] = logit;
        });
      }
    }
  }
  return logSums.reduce((sum, logSum, row) => sum + logSum - (chosen[row] as number), 0) / logSums.length;
}

async function applyNorm(pass: PassContext, hidden: Float32Array, norm: TablePart): Promise<Float32Array> {
  const { shape, runs, sessions } = pass;
  const width = shape.hiddenSize;
  const dtype = weightDtype(norm.source, norm.name);
  const session = await sessions.get(`norm ${dtype}`, () => finalNormGraph(shape, dtype));
  const weight = await readWeight(norm.source, norm.name, [width]);
  const normed = new Float32Array(hidden.length);
  for (const run of runs) {
    const size = [run.toRow - run.fromRow, width];
    await session.run(
      { x: float32Tensor(rowsOf(hidden, run, width), size), weight },
      { y: float32Tensor(rowsOf(normed, run, width), size) },
    );
  }
  return normed;
}

/** log(eᵃ + eᵇ) without leaving the range of numbers. */
function addLogarithms(a: number, b: number): number {
  const high = Math.max(a, b);
  return high === Number.NEGATIVE_INFINITY ? high : high + Math.log1p(Math.exp(Math.min(a, b) - high));
}

/** @throws MappingError `CPT_MAPPING_WEIGHT` when the parts together have fewer rows than the vocabulary has tokens. */
function placeParts(parts: readonly TablePart[], shape: ModelShape): PlacedPart[] {
  let firstToken = 0;
  const placed = parts.map((part) => {
    const rows = requireWeight(part.source, part.name).shape[0] ?? 0;
    const place = { ...part, firstToken, rows };
    firstToken += rows;
    return place;
  });
  if (firstToken >= shape.vocabSize) return placed;
  const name = parts[0]?.name ?? '';
  const why = `"${name}" has ${firstToken} rows over all ranks, fewer than the vocabulary of ${shape.vocabSize}`;
  throw new MappingError('CPT_MAPPING_WEIGHT', why, { names: [name] });
}

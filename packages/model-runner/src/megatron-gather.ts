import {
  gatheredHeadGraph,
  gatheredHeadParameters,
  gatheredQkvGraph,
  gatheredQkvParameters,
} from './graphs/megatron-gathered.ts';
import { type PassContext, rowsOf } from './layerwise.ts';
import { type RankLayer, rankWeights } from './rank-weights.ts';
import { float32Tensor } from './session.ts';

/**
 * Adds the attention of one layer to `sum`, rank by rank, where several ranks share a query group: each computes its part of the
 * group's columns, and each reads all parts of its group.
 * @param ranks the layer on every tensor rank, in their order.
 */
export async function addGatheredAttention(
  pass: PassContext,
  ranks: readonly RankLayer[],
  hidden: Float32Array,
  sum: Float32Array,
): Promise<void> {
  const sharing = ranks.length / pass.shape.queryGroups;
  for (let group = 0; group < pass.shape.queryGroups; group++) {
    const members = ranks.slice(group * sharing, (group + 1) * sharing);
    const parts: Float32Array[] = [];
    for (const member of members) parts.push(await columnsOf(pass, member, ranks.length, hidden));
    const columns = interleave(parts, pass.batch.inputs.length);
    for (const [index, member] of members.entries()) await addHeads(pass, member, ranks.length, index, columns, sum);
  }
}

/** One rank's rows of linear_qkv, applied: `[B·S, rows]`. */
async function columnsOf(
  { shape, runs, sessions }: PassContext,
  rank: RankLayer,
  ranks: number,
  hidden: Float32Array,
): Promise<Float32Array> {
  const parameters = gatheredQkvParameters(shape, ranks);
  const width = parameters[1]?.shape[0] as number;
  const { dtypeOf, key, feeds } = await rankWeights(rank, parameters);
  const session = await sessions.get(`gathered qkv ${key}`, () => gatheredQkvGraph(shape, ranks, dtypeOf));
  const columns = new Float32Array((hidden.length / shape.hiddenSize) * width);
  for (const run of runs) {
    const rows = run.toRow - run.fromRow;
    const x = float32Tensor(rowsOf(hidden, run, shape.hiddenSize), [rows, shape.hiddenSize]);
    await session.run({ ...feeds, x }, { y: float32Tensor(rowsOf(columns, run, width), [rows, width]) });
  }
  return columns;
}

async function addHeads(
  { shape, batch, runs, sessions }: PassContext,
  rank: RankLayer,
  ranks: number,
  indexInGroup: number,
  columns: Float32Array,
  sum: Float32Array,
): Promise<void> {
  const { hiddenSize } = shape;
  const firstHead = (indexInGroup * shape.heads) / ranks;
  const groupWidth = columns.length / batch.inputs.length;
  const { dtypeOf, key, feeds } = await rankWeights(rank, gatheredHeadParameters(shape, ranks));
  const session = await sessions.get(`gathered heads from ${firstHead} ${key}`, () =>
    gatheredHeadGraph(shape, ranks, firstHead, batch.length, dtypeOf),
  );
  for (const run of runs) {
    const rows = run.toRow - run.fromRow;
    const group = float32Tensor(rowsOf(columns, run, groupWidth), [rows, groupWidth]);
    const acc = rowsOf(sum, run, hiddenSize);
    const after = new Float32Array(acc.length);
    const feed = { ...feeds, ...run.rotary, group, acc: float32Tensor(acc, [rows, hiddenSize]) };
    await session.run(feed, { y: float32Tensor(after, [rows, hiddenSize]) });
    acc.set(after);
  }
}

/** Row by row the columns of all parts, one part behind the other. */
function interleave(parts: readonly Float32Array[], rows: number): Float32Array {
  const [first] = parts;
  if (parts.length === 1 && first) return first;
  const width = (first?.length ?? 0) / rows;
  const joined = new Float32Array(rows * width * parts.length);
  for (const [index, part] of parts.entries()) {
    for (let row = 0; row < rows; row++) {
      joined.set(part.subarray(row * width, (row + 1) * width), (row * parts.length + index) * width);
    }
  }
  return joined;
}

// Megatron's splits and packings as byte copies. Every tensor is a matrix here: rows × columns, a vector having one column.
//
//   rank shards ──un-shard──▶ global matrix ──un-pack──▶ Hugging Face matrix
//
//   linear_qkv, 4 heads, 2 groups:   q0 q1 k0 v0 | q2 q3 k1 v1      (one group after the other, one letter a head)
//   linear_fc1 of rank r:            gate rows of r, then up rows of r
//
// The concatenation of the ranks' linear_qkv rows is the global matrix for every number of ranks, more ranks than groups
// included; so shards are placed first and the packing undone after, never rank by rank.

/** `count` runs of `bytes` bytes; successive runs lie `fromStep` and `toStep` bytes apart. */
export interface StridedCopy {
  /** Index of the source in the tensor's list of shards. */
  readonly shard: number;
  /** Byte offset of the first run behind the shard's first element. */
  readonly from: number;
  /** Byte offset of the first run in the output tensor. */
  readonly to: number;
  readonly bytes: number;
  readonly count: number;
  readonly fromStep: number;
  readonly toStep: number;
}

/** A box of the global matrix and where it begins in one shard. Rows and columns count elements. */
export interface Placement {
  readonly shard: number;
  readonly globalRow: number;
  readonly globalColumn: number;
  readonly rows: number;
  readonly columns: number;
  /** First row of the box inside the shard; boxes always begin at its column 0. */
  readonly localRow: number;
}

/** `rows` rows of the global matrix that are successive rows of the output. */
export interface RowRun {
  readonly globalRow: number;
  readonly toRow: number;
  readonly rows: number;
}

/** Bytes between successive rows and columns of a shard; any stride torch can save, 0 included. */
export interface ShardSteps {
  readonly rowStep: number;
  readonly columnStep: number;
}

/** Column parallel, and everything split by rows: the shards lie under each other. */
export function stackRows(ranks: number, rows: number, columns: number): Placement[] {
  return Array.from({ length: ranks }, (_, shard) => ({
    shard,
    globalRow: shard * rows,
    globalColumn: 0,
    rows,
    columns,
    localRow: 0,
  }));
}

/** Row parallel: the shards `[rows, columns]` lie side by side. */
export function joinColumns(ranks: number, rows: number, columns: number): Placement[] {
  return Array.from({ length: ranks }, (_, shard) => ({
    shard,
    globalRow: 0,
    globalColumn: shard * columns,
    rows,
    columns,
    localRow: 0,
  }));
}

/**
 * Gate and up of a gated MLP: each shard holds `half` gate rows and then `half` up rows, the global matrix all gate rows and
 * then all up rows. Stacking the shards as they are gives the right shapes and a wrong model.
 */
export function stackHalves(ranks: number, half: number, columns: number): Placement[] {
  return Array.from({ length: ranks }, (_, shard) => [
    { shard, globalRow: shard * half, globalColumn: 0, rows: half, columns, localRow: 0 },
    { shard, globalRow: (ranks + shard) * half, globalColumn: 0, rows: half, columns, localRow: half },
  ]).flat();
}

/** The first `rows` rows: the whole matrix, or a vocabulary without its padding, which ends the global table. */
export function trimRows(rows: number): RowRun[] {
  return [{ globalRow: 0, toRow: 0, rows }];
}

/** Gate (0) or up (1) out of `[2 · rows, …]`. */
export function takeHalf(half: 0 | 1, rows: number): RowRun[] {
  return [{ globalRow: half * rows, toRow: 0, rows }];
}

/**
 * Q, K or V out of the fused matrix, whose rows are, per query group, `headsPerGroup` query heads, one key head, one value
 * head, `headDim` rows each. Taking thirds of it instead gives a Q of the right shape with keys and values in it.
 */
export function takeQkv(part: 'q' | 'k' | 'v', groups: number, headsPerGroup: number, headDim: number): RowRun[] {
  const [skip, heads] = { q: [0, headsPerGroup], k: [headsPerGroup, 1], v: [headsPerGroup + 1, 1] }[part] as [
    number,
    number,
  ];
  return Array.from({ length: groups }, (_, group) => ({
    globalRow: (group * (headsPerGroup + 2) + skip) * headDim,
    toRow: group * heads * headDim,
    rows: heads * headDim,
  }));
}

/**
 * The copies that fill an output matrix of `columns` columns: each row run cut by each placement. Adjacent rows become one
 * run and evenly spaced runs one copy, so that a plan stays a few entries a tensor.
 */
export function composeCopies(
  placements: readonly Placement[],
  runs: readonly RowRun[],
  steps: readonly ShardSteps[],
  columns: number,
  elementBytes: number,
): StridedCopy[] {
  const copies: StridedCopy[] = [];
  for (const run of runs) {
    for (const box of placements) {
      const first = Math.max(run.globalRow, box.globalRow);
      const rows = Math.min(run.globalRow + run.rows, box.globalRow + box.rows) - first;
      if (rows <= 0 || box.columns === 0) continue;
      const { rowStep, columnStep } = steps[box.shard] as ShardSteps;
      const from = (box.localRow + first - box.globalRow) * rowStep;
      const to = ((run.toRow + first - run.globalRow) * columns + box.globalColumn) * elementBytes;
      const extent = {
        rows,
        columns: box.columns,
        rowStep,
        columnStep,
        toRowStep: columns * elementBytes,
        elementBytes,
      };
      copies.push(...boxCopies(box.shard, from, to, extent));
    }
  }
  return mergeEvenRuns(copies.sort((a, b) => a.shard - b.shard || a.to - b.to)).sort((a, b) => a.to - b.to);
}

/**
 * The copies that fill one shard out of whatever holds the same global matrix: the shards of another grid, or the parts it is
 * packed from. `targets` are the boxes of that one shard, `columns` its columns.
 */
export function copiesBetween(
  sources: readonly Placement[],
  targets: readonly Placement[],
  steps: readonly ShardSteps[],
  columns: number,
  elementBytes: number,
): StridedCopy[] {
  const copies: StridedCopy[] = [];
  for (const target of targets) {
    for (const box of sources) {
      const row = Math.max(box.globalRow, target.globalRow);
      const column = Math.max(box.globalColumn, target.globalColumn);
      const rows = Math.min(box.globalRow + box.rows, target.globalRow + target.rows) - row;
      const across = Math.min(box.globalColumn + box.columns, target.globalColumn + target.columns) - column;
      if (rows <= 0 || across <= 0) continue;
      const { rowStep, columnStep } = steps[box.shard] as ShardSteps;
      const from = (box.localRow + row - box.globalRow) * rowStep + (column - box.globalColumn) * columnStep;
      const to = ((target.localRow + row - target.globalRow) * columns + column - target.globalColumn) * elementBytes;
      const extent = { rows, columns: across, rowStep, columnStep, toRowStep: columns * elementBytes, elementBytes };
      copies.push(...boxCopies(box.shard, from, to, extent));
    }
  }
  return mergeEvenRuns(copies.sort((a, b) => a.shard - b.shard || a.to - b.to)).sort((a, b) => a.to - b.to);
}

interface Extent {
  rows: number;
  columns: number;
  rowStep: number;
  columnStep: number;
  toRowStep: number;
  elementBytes: number;
}

/** One box, by rows when its rows are packed, otherwise element by element along its longer side. */
function boxCopies(shard: number, from: number, to: number, extent: Extent): StridedCopy[] {
  const { rows, columns, rowStep, columnStep, toRowStep, elementBytes } = extent;
  const rowBytes = columns * elementBytes;
  if (columns === 1 || columnStep === elementBytes) {
    const isOneRun = rows === 1 || (rowStep === rowBytes && toRowStep === rowBytes);
    if (isOneRun) return [singleRun(shard, from, to, rows * rowBytes)];
    return [{ shard, from, to, bytes: rowBytes, count: rows, fromStep: rowStep, toStep: toRowStep }];
  }
  const across = { fromStep: columnStep, toStep: elementBytes, count: columns };
  const down = { fromStep: rowStep, toStep: toRowStep, count: rows };
  const [inner, outer] = columns >= rows ? [across, down] : [down, across];
  return Array.from({ length: outer.count }, (_, at) => ({
    shard,
    from: from + at * outer.fromStep,
    to: to + at * outer.toStep,
    bytes: elementBytes,
    ...inner,
  }));
}

function singleRun(shard: number, from: number, to: number, bytes: number): StridedCopy {
  return { shard, from, to, bytes, count: 1, fromStep: bytes, toStep: bytes };
}

/** Joins single runs of one shard that have equal length and equal spacing; input sorted by shard and `to`. */
function mergeEvenRuns(copies: readonly StridedCopy[]): StridedCopy[] {
  const merged: StridedCopy[] = [];
  for (const next of copies) {
    const last = merged.at(-1);
    const joined = last && next.count === 1 ? extendRun(last, next) : undefined;
    if (joined) merged[merged.length - 1] = joined;
    else merged.push(next);
  }
  return merged;
}

function extendRun(last: StridedCopy, next: StridedCopy): StridedCopy | undefined {
  if (last.shard !== next.shard || last.bytes !== next.bytes) return undefined;
  const fromStep = (next.from - last.from) / last.count;
  const toStep = (next.to - last.to) / last.count;
  const isAdjacent = fromStep === last.bytes && toStep === last.bytes && last.count === 1;
  if (isAdjacent) return singleRun(last.shard, last.from, last.to, 2 * last.bytes);
  const isEven = last.count === 1 ? fromStep >= 0 && toStep >= last.bytes : isSameStep(last, fromStep, toStep);
  return isEven ? { ...last, count: last.count + 1, fromStep, toStep } : undefined;
}

function isSameStep(copy: StridedCopy, fromStep: number, toStep: number): boolean {
  return copy.fromStep === fromStep && copy.toStep === toStep;
}

/** Below this many bytes a loop beats the cost of making a view. */
const LOOP_BYTES = 16;

/** Moves the runs of one copy between buffers that begin at `fromBase` of the source and `toBase` of the target. */
export function moveRuns(
  copy: Omit<StridedCopy, 'shard'>,
  source: Uint8Array,
  fromBase: number,
  target: Uint8Array,
  toBase: number,
): void {
  const { bytes, count, fromStep, toStep } = copy;
  let from = copy.from - fromBase;
  let to = copy.to - toBase;
  for (let run = 0; run < count; run++, from += fromStep, to += toStep) {
    if (bytes > LOOP_BYTES) target.set(source.subarray(from, from + bytes), to);
    else for (let at = 0; at < bytes; at++) target[to + at] = source[from + at] as number;
  }
}

import { rowBytes, tensorBytes } from '@pai-cpt/core';
import { type OutputShard, SafetensorsWriter } from '@pai-cpt/safetensors';
import { castElements } from './cast.ts';
import type { ReadInto } from './checkpoint.ts';
import { moveRuns, type StridedCopy } from './copies.ts';
import { type DigestKind, digestsHere } from './digest/digests.ts';
import { openDigests } from './digest/node.ts';
import type { PlannedTensor } from './plan.ts';

/** What a conversion reads from and writes to. */
export interface TensorIo {
  readInto: ReadInto;
  /** A new file of the output; nothing of it is visible under `name` before the caller commits. */
  createOutput(name: string): Promise<OutputFile>;
}

export interface OutputFile {
  write(bytes: Uint8Array): void;
  /** Flushes to the disk and closes. */
  finish(): Promise<void>;
}

export interface WrittenFile {
  readonly name: string;
  readonly bytes: number;
  /** Null where no digest was asked for. */
  readonly sha256: string | null;
}

export interface Progress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly file: string;
}

export interface ExecuteOptions {
  /** Default sha256. */
  readonly digest?: DigestKind;
  /** Takes digests in this thread, not in another: for threads that keep all cores busy already. */
  readonly hasOwnDigests?: boolean;
  /** Output shards that an earlier run wrote; they are left out of the work and given back as they are. */
  readonly finished?: ReadonlyMap<string, WrittenFile>;
  /** Called when the bytes of an output shard are on the disk. */
  onFile?(file: WrittenFile): Promise<void>;
  onProgress?(progress: Progress): void;
  readonly signal?: AbortSignal;
}

/** Output is made in tiles of this size; larger ones gain nothing and cost memory. */
export const TILE_BYTES = 2 * 1024 * 1024;
/** Runs from this length on are read straight into the tile. */
const DIRECT_BYTES = 64 * 1024;
/** A gap between runs up to this long is read over: one long read is cheaper than two short ones. */
const GAP_BYTES = 64 * 1024;
/** The loop is synchronous; it lets timers and signals through this often. */
const BREATH_MS = 50;

/**
 * Writes every output shard of a plan, sequentially, through a few buffers of 2 MiB whatever the model's size.
 * @throws `signal.reason` between two tiles.
 */
export async function executePlan(
  outputShards: readonly OutputShard<PlannedTensor>[],
  io: TensorIo,
  options: ExecuteOptions = {},
): Promise<WrittenFile[]> {
  const { finished, digest = 'sha256' } = options;
  const sum = (shards: readonly OutputShard[]) => shards.reduce((total, { byteLength }) => total + byteLength, 0);
  const totalBytes = sum(outputShards);
  const work = outputShards.filter(({ name }) => !finished?.has(name));
  const digests = options.hasOwnDigests ? digestsHere(digest) : openDigests(digest, sum(work), TILE_BYTES);
  const written = new Map(finished);
  let doneBytes = totalBytes - sum(work);
  try {
    const onTile = await breather(options.signal);
    for (const { name, tensors } of work) {
      const output = await io.createOutput(name);
      let bytes = 0;
      const sink = {
        async write(chunk: Uint8Array) {
          output.write(chunk);
          bytes += chunk.byteLength;
          await digests.update(name, chunk);
        },
      };
      const writer = new SafetensorsWriter(sink, tensors, { format: 'pt' });
      await writer.start();
      for (const tensor of tensors) {
        const { shape, dtype, sourceDtype = dtype } = tensor;
        for (const tile of tilesOf({ shape, dtype: sourceDtype, byteLength: tensorBytes(shape, sourceDtype) })) {
          const target = await digests.tile(tile.byteLength);
          fillTile(tensor, tile.from, target, io.readInto);
          const bytesOfTile = castElements(tensor.name, target, sourceDtype, dtype);
          await writer.append(bytesOfTile);
          doneBytes += bytesOfTile.byteLength;
          options.onProgress?.({ doneBytes, totalBytes, file: name });
          await onTile();
        }
      }
      await writer.finish();
      await output.finish();
      const file = { name, bytes, sha256: await digests.finish(name) };
      await options.onFile?.(file);
      written.set(name, file);
    }
  } finally {
    await digests.close();
  }
  return outputShards.map(({ name }) => written.get(name) as WrittenFile);
}

/** Lets timers and signals through now and then; what it gives is called after each tile. @throws `signal.reason`. */
export async function breather(signal: AbortSignal | undefined): Promise<() => Promise<void>> {
  signal?.throwIfAborted();
  let last = performance.now();
  return async () => {
    if (performance.now() - last >= BREATH_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      last = performance.now();
    }
    signal?.throwIfAborted();
  };
}

/** Whole rows where they fit, so that few runs are cut. */
export function* tilesOf({
  shape,
  dtype,
  byteLength,
}: Pick<PlannedTensor, 'shape' | 'dtype' | 'byteLength'>): Generator<{ from: number; byteLength: number }> {
  const row = shape.length === 0 ? byteLength : rowBytes(shape, dtype);
  const step = row > 0 && row <= TILE_BYTES ? TILE_BYTES - (TILE_BYTES % row) : TILE_BYTES;
  for (let from = 0; from < byteLength; from += step) yield { from, byteLength: Math.min(step, byteLength - from) };
}

/** One for all: nothing waits while it is in use. */
const WINDOW = new Uint8Array(TILE_BYTES);

/** Fills `target` with the bytes of the tensor from `tileFrom` on. `window` is at least as long as `target`. */
export function fillTile(
  tensor: Pick<PlannedTensor, 'copies' | 'sources'>,
  tileFrom: number,
  target: Uint8Array,
  readInto: ReadInto,
  window = WINDOW,
): void {
  const wanted = tensor.copies
    .flatMap((copy) => clipCopy(copy, tileFrom, tileFrom + target.byteLength))
    .flatMap((copy) => fitWindow(copy, window.byteLength))
    .sort((a, b) => a.shard - b.shard || a.from - b.from);
  for (let first = 0; first < wanted.length; ) {
    const copy = wanted[first] as StridedCopy;
    const source = tensor.sources[copy.shard];
    if (!source) throw new RangeError(`the plan names shard ${copy.shard} of ${tensor.sources.length}`);
    const position = source.byteOffset + copy.from;
    if (copy.count === 1 && copy.bytes >= DIRECT_BYTES) {
      readInto(source.file, position, target.subarray(copy.to - tileFrom, copy.to - tileFrom + copy.bytes));
      first++;
      continue;
    }
    const { next, end } = extendWindow(wanted, first, window.byteLength);
    const block = window.subarray(0, end - copy.from);
    readInto(source.file, position, block);
    for (const moved of wanted.slice(first, next)) moveRuns(moved, block, copy.from, target, tileFrom);
    first = next;
  }
}

/** How many copies from `first` on one read can serve: same shard, near each other, inside one window. */
function extendWindow(copies: readonly StridedCopy[], first: number, windowBytes: number) {
  const start = copies[first] as StridedCopy;
  let end = start.from + spanBytes(start);
  let next = first + 1;
  for (; next < copies.length; next++) {
    const copy = copies[next] as StridedCopy;
    const newEnd = Math.max(end, copy.from + spanBytes(copy));
    const isNear = copy.from - end <= GAP_BYTES && newEnd - start.from <= windowBytes;
    if (copy.shard !== start.shard || !isNear) break;
    end = newEnd;
  }
  return { next, end };
}

function spanBytes({ bytes, count, fromStep }: StridedCopy): number {
  return (count - 1) * fromStep + bytes;
}

/** The part of a copy that falls into output bytes `[begin, end)`: whole runs as one copy, cut runs singly. */
function clipCopy(copy: StridedCopy, begin: number, end: number): StridedCopy[] {
  const { bytes, count, fromStep, toStep } = copy;
  const single = (run: number): StridedCopy => {
    const skip = Math.max(0, begin - (copy.to + run * toStep));
    const cut = Math.max(0, copy.to + run * toStep + bytes - end);
    const from = copy.from + run * fromStep + skip;
    return { ...copy, from, to: copy.to + run * toStep + skip, bytes: bytes - skip - cut, count: 1 };
  };
  // Runs [touchFirst, touchLast] have a byte in the tile, runs [wholeFirst, wholeLast] lie in it whole.
  const touchFirst = Math.max(0, Math.floor((begin - copy.to - bytes) / toStep) + 1);
  const touchLast = Math.min(count - 1, Math.ceil((end - copy.to) / toStep) - 1);
  if (touchFirst > touchLast) return [];
  const wholeFirst = Math.max(touchFirst, Math.ceil((begin - copy.to) / toStep));
  const wholeLast = Math.min(touchLast, Math.floor((end - copy.to - bytes) / toStep));
  const parts: StridedCopy[] = [];
  for (let run = touchFirst; run <= Math.min(touchLast, wholeFirst - 1); run++) parts.push(single(run));
  if (wholeFirst <= wholeLast) {
    const shift = { from: copy.from + wholeFirst * fromStep, to: copy.to + wholeFirst * toStep };
    parts.push({ ...copy, ...shift, count: wholeLast - wholeFirst + 1 });
  }
  for (let run = Math.max(wholeLast + 1, wholeFirst); run <= touchLast; run++) parts.push(single(run));
  return parts;
}

/** Cuts a copy into ones whose source span fits the window; runs far from each other are taken one by one. */
function fitWindow(copy: StridedCopy, windowBytes: number): StridedCopy[] {
  const { bytes, count, fromStep, toStep } = copy;
  if (count === 1) return [copy];
  const isSparse = fromStep - bytes > GAP_BYTES;
  const perWindow = isSparse ? 1 : Math.max(1, Math.floor((windowBytes - bytes) / Math.max(1, fromStep)) + 1);
  if (perWindow >= count) return [copy];
  const parts: StridedCopy[] = [];
  for (let run = 0; run < count; run += perWindow) {
    const shift = { from: copy.from + run * fromStep, to: copy.to + run * toStep };
    parts.push({ ...copy, ...shift, count: Math.min(perWindow, count - run) });
  }
  return parts;
}

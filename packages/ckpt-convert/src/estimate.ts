import { TILE_BYTES } from './execute.ts';
import type { PlannedFile } from './output/journal.ts';
import { filesOfPart, type Part } from './output/parts.ts';

/** What a conversion will take, told by its plan. */
export interface Estimate {
  readonly files: readonly { readonly name: string; readonly byteLength: number }[];
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** What planning took, and the buffers that come on top. It does not depend on the model's size. */
  readonly peakMemoryBytes: number;
  /** At 2 GB/s and at 0.3 GB/s, reading and writing taken together: a fast NAS or local disks, a small cloud disk. */
  readonly seconds: { readonly least: number; readonly most: number };
}

const FAST = 2e9;
const SLOW = 0.3e9;
/** Tiles between the copying and the digests, the window, and one for a cast. */
const TILES = 6;
/** A thread of Node before it does anything: the one for digests, or each worker. */
const THREAD_BYTES = 20e6;

/** `byteLength` counts tensors; `peakRssBytes` is the process's after planning. */
export function estimateOutput(
  planned: readonly (PlannedFile & { readonly byteLength: number })[],
  { peakRssBytes, workers = 1, part }: { peakRssBytes: number; workers?: number; part?: Part },
): Estimate {
  const files = part ? filesOfPart(planned, part) : planned;
  const copies = files.flatMap(({ tensors }) => tensors.flatMap((tensor) => tensor.copies));
  const readBytes = copies.reduce((sum, { bytes, count }) => sum + bytes * count, 0);
  const writtenBytes = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  return {
    files: files.map(({ name, byteLength }) => ({ name, byteLength })),
    readBytes,
    writtenBytes,
    peakMemoryBytes: Math.round(peakRssBytes + Math.max(1, workers) * (TILES * TILE_BYTES + THREAD_BYTES)),
    seconds: { least: (readBytes + writtenBytes) / FAST, most: (readBytes + writtenBytes) / SLOW },
  };
}

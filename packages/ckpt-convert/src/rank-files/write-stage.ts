import { createHash } from 'node:crypto';
import { castDtype } from '@pai-cpt/core';
import {
  orderedDict,
  TorchFileWriter,
  type TorchTensorDeclaration,
  tensorDeclaration,
  type WritableValue,
} from '@pai-cpt/torch-checkpoint';
import type { ReadInto } from '../checkpoint.ts';
import { breather, fillTile, TILE_BYTES, tilesOf } from '../execute.ts';
import type { RankFilePlan, RankTensor } from '../rank-plan.ts';
import { openPendingFile, type PendingFile } from './node.ts';

/** One rank file to be made, and what stands beside the model in it. */
export interface RankFileTarget {
  readonly path: string;
  readonly plan: RankFilePlan;
  /** `args`, `checkpoint_version`, `iteration`: everything before the model. */
  readonly head: readonly (readonly [string, WritableValue])[];
}

export interface StageIo {
  readInto: ReadInto;
  /** Called before a tensor is read, for sources that are not files. */
  prepare?(tensor: RankTensor): Promise<void>;
  onBytes?(bytes: number, path: string): void;
  readonly signal?: AbortSignal;
}

export interface WrittenRankFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

const RANK_FILE_STEM = 'model_optim_rng';

/**
 * Writes the rank files of one pipeline stage together, tensor by tensor: a column split reads every row of the source for each
 * rank, and side by side all ranks but the first find it in the page cache. Memory is two buffers of 4 MiB and one for a cast.
 * @throws `signal.reason` between two tiles; no file of the stage is left then.
 */
export async function writeStage(targets: readonly RankFileTarget[], io: StageIo): Promise<WrittenRankFile[]> {
  const onTile = await breather(io.signal);
  const files: OpenRankFile[] = [];
  try {
    for (const target of targets) files.push(await openRankFile(target));
    const buffers = { tile: new Uint8Array(TILE_BYTES), window: new Uint8Array(TILE_BYTES) };
    const tensorsOf = ({ plan }: RankFileTarget) => plan.chunks.flatMap(({ tensors }) => tensors);
    const lists = targets.map(tensorsOf);
    for (const [number, first] of (lists[0] ?? []).entries()) {
      await io.prepare?.(first);
      for (const [at, file] of files.entries()) {
        const tensor = (lists[at] as RankTensor[])[number] as RankTensor;
        for (const bytes of tensorTiles(tensor, buffers, io.readInto)) {
          await file.writer.append(bytes);
          io.onBytes?.(bytes.byteLength, file.path);
          await onTile();
        }
      }
    }
    for (const file of files) await file.writer.finish();
    for (const file of files) await file.pending.commit();
    return files.map(({ path, size, digest }) => ({ path, bytes: size.bytes, sha256: digest.digest('hex') }));
  } finally {
    for (const file of files) await file.pending.discard();
  }
}

interface OpenRankFile {
  readonly path: string;
  readonly pending: PendingFile;
  readonly writer: TorchFileWriter;
  readonly digest: ReturnType<typeof createHash>;
  readonly size: { bytes: number };
}

async function openRankFile({ path, plan, head }: RankFileTarget): Promise<OpenRankFile> {
  const pending = await openPendingFile(path);
  const digest = createHash('sha256');
  const size = { bytes: 0 };
  const sink = {
    async write(bytes: Uint8Array) {
      digest.update(bytes);
      pending.write(bytes);
      size.bytes += bytes.byteLength;
    },
  };
  try {
    const writer = new TorchFileWriter(sink, RANK_FILE_STEM, rootOf(plan, head));
    await writer.start();
    return { path, pending, writer, digest, size };
  } catch (error) {
    await pending.discard();
    throw error;
  }
}

function rootOf(plan: RankFilePlan, head: RankFileTarget['head']): WritableValue {
  const models = plan.chunks.map(({ key, tensors, extraStates }) => {
    const weights = tensors.map(({ localName, dtype, shape }): [string, TorchTensorDeclaration] => [
      localName,
      tensorDeclaration(dtype, shape),
    ]);
    return [key, orderedDict([...weights, ...extraStates.map((name) => [name, null] as const)])] as const;
  });
  return new Map<string, WritableValue>([...head, ...models]);
}

/** The bytes of a tensor in its written dtype, tile by tile; a tile is valid until the next one. */
function* tensorTiles(
  tensor: RankTensor,
  buffers: { tile: Uint8Array; window: Uint8Array },
  readInto: ReadInto,
): Generator<Uint8Array> {
  const { shape, sourceDtype, dtype, byteLength, copies } = tensor;
  const hasHoles = copies.reduce((sum, copy) => sum + copy.bytes * copy.count, 0) < byteLength;
  for (const tile of tilesOf({ shape, dtype: sourceDtype, byteLength })) {
    const target = buffers.tile.subarray(0, tile.byteLength);
    if (hasHoles) target.fill(0);
    fillTile(tensor, tile.from, target, buffers.window, readInto);
    yield castDtype(target, sourceDtype, dtype);
  }
}

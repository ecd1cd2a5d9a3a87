import { castElements } from '../cast.ts';
import type { ReadInto } from '../checkpoint.ts';
import { type DigestKind, type Digests, digestsHere } from '../digest/digests.ts';
import { openDigests } from '../digest/node.ts';
import { breather, fillTile, type OutputFile, TILE_BYTES, tilesOf } from '../execute.ts';
import type { RankTensor } from '../rank-plan.ts';
import { type TorchPart, TorchPartsWriter } from './torch-parts.ts';

/** One file to be made. */
export interface StageFile {
  /** What `createOutput` is asked for. */
  readonly path: string;
  readonly parts: readonly TorchPart[];
}

export interface StageIo {
  readInto: ReadInto;
  createOutput(path: string): Promise<OutputFile>;
  /** Called before a tensor is read, for sources that are not files. */
  prepare?(tensor: RankTensor): Promise<void>;
  onBytes?(bytes: number, path: string): void;
  /** Default sha256. */
  readonly digest?: DigestKind;
  /** As in `ExecuteOptions`. */
  readonly hasOwnDigests?: boolean;
  readonly signal?: AbortSignal;
}

export interface WrittenRankFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string | null;
}

/**
 * Writes the rank files of one pipeline stage together, tensor by tensor: a column split reads every row of the source for each
 * rank, and side by side all ranks but the first find it in the page cache. Memory is a few buffers of 2 MiB and one for a cast.
 * @throws `signal.reason` between two tiles; the files of the stage are not finished then.
 */
export async function writeStage(targets: readonly StageFile[], io: StageIo): Promise<WrittenRankFile[]> {
  const onTile = await breather(io.signal);
  const files: OpenRankFile[] = [];
  const { digest: kind = 'sha256', hasOwnDigests = false } = io;
  const digests = hasOwnDigests ? digestsHere(kind) : openDigests(kind, targets.reduce(addBytes, 0), TILE_BYTES);
  try {
    for (const target of targets) files.push(await openRankFile(target, io, digests));
    for (const round of roundsOf(targets)) {
      await io.prepare?.((round[0] as RoundEntry).tensor);
      for (const { at, tensor } of round) {
        const file = files[at] as OpenRankFile;
        for await (const bytes of tensorTiles(tensor, digests, io.readInto)) {
          await file.writer.append(bytes);
          io.onBytes?.(bytes.byteLength, file.path);
          await onTile();
        }
      }
    }
    for (const file of files) await file.writer.finish();
    for (const file of files) await file.output.finish();
    const written: WrittenRankFile[] = [];
    for (const { path, size } of files) written.push({ path, bytes: size.bytes, sha256: await digests.finish(path) });
    return written;
  } finally {
    await digests.close();
  }
}

interface RoundEntry {
  /** Index of the file. */
  readonly at: number;
  readonly tensor: RankTensor;
}

/** The tensors of all files, those of one name together: a distributed checkpoint has some of them on the first rank only. */
function* roundsOf(targets: readonly StageFile[]): Generator<RoundEntry[]> {
  const lists = targets.map(({ parts }) => parts.flatMap(({ tensors }) => tensors));
  const done = lists.map(() => 0);
  for (;;) {
    const [next] = lists.flatMap((list, at) => list[done[at] as number] ?? []);
    if (!next) return;
    yield lists.flatMap((list, at) => {
      const from = done[at] as number;
      const length = list.slice(from).findIndex(({ localName }) => localName !== next.localName);
      const to = length < 0 ? list.length : from + length;
      done[at] = to;
      return list.slice(from, to).map((tensor) => ({ at, tensor }));
    });
  }
}

interface OpenRankFile {
  readonly path: string;
  readonly output: OutputFile;
  readonly writer: TorchPartsWriter;
  readonly size: { bytes: number };
}

async function openRankFile({ path, parts }: StageFile, io: StageIo, digests: Digests): Promise<OpenRankFile> {
  const output = await io.createOutput(path);
  const size = { bytes: 0 };
  const sink = {
    async write(bytes: Uint8Array) {
      output.write(bytes);
      size.bytes += bytes.byteLength;
      await digests.update(path, bytes);
    },
  };
  const writer = new TorchPartsWriter(sink, parts);
  await writer.start();
  return { path, output, writer, size };
}

/** The bytes of a tensor in its written dtype, tile by tile; a tile is valid until the next one. */
async function* tensorTiles(tensor: RankTensor, digests: Digests, readInto: ReadInto): AsyncGenerator<Uint8Array> {
  const { shape, sourceDtype, dtype, byteLength, copies } = tensor;
  const hasHoles = copies.reduce((sum, copy) => sum + copy.bytes * copy.count, 0) < byteLength;
  for (const tile of tilesOf({ shape, dtype: sourceDtype, byteLength })) {
    const target = await digests.tile(tile.byteLength);
    if (hasHoles) target.fill(0);
    fillTile(tensor, tile.from, target, readInto);
    yield castElements(tensor.localName, target, sourceDtype, dtype);
  }
}

function addBytes(sum: number, { parts }: StageFile): number {
  const tensors = parts.flatMap((part) => part.tensors);
  return tensors.reduce((total, { byteLength }) => total + byteLength, sum);
}

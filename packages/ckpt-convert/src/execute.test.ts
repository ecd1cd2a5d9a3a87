import { createHash } from 'node:crypto';
import { parseHeader } from '@pai-cpt/safetensors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { composeCopies, joinColumns, moveRuns, stackRows, takeQkv, trimRows } from './copies.ts';
import { executePlan, fillTile, type TensorIo } from './execute.ts';
import type { PlannedTensor } from './plan.ts';

const MEBIBYTE = 1024 * 1024;

/** Shards in memory behind the interface of files, counting how often and how much is read. */
function memoryShards(shards: readonly Uint8Array[]) {
  const stats = { reads: 0, bytes: 0 };
  return {
    stats,
    sources: shards.map((_, tensorRank) => ({
      tensorRank,
      file: String(tensorRank),
      byteOffset: 0,
      shape: [],
      stride: [],
    })),
    readInto(file: string, position: number, target: Uint8Array) {
      stats.reads++;
      stats.bytes += target.byteLength;
      const bytes = (shards[Number(file)] as Uint8Array).subarray(position, position + target.byteLength);
      if (bytes.byteLength < target.byteLength) throw new RangeError('read past the end');
      target.set(bytes);
    },
  };
}

function bytesOf(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + seed * 101 + (at >> 8)) & 255;
  return bytes;
}

describe('fillTile', () => {
  const tile = fc.integer({ min: 1, max: 48 });
  const steps = fc.record({ rowStep: fc.integer({ min: 0, max: 60 }), columnStep: fc.integer({ min: 0, max: 20 }) });
  it('gives what the copies give at once, for any tile and any strides', () => {
    fc.assert(
      fc.property(
        tile,
        fc.tuple(steps, steps),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 5 }),
        (size, strides, rows, columns) => {
          const io = memoryShards([bytesOf(2000, 1), bytesOf(2000, 2)]);
          const copies = composeCopies(joinColumns(2, rows, columns), trimRows(rows), strides, columns * 2, 2);
          const expected = new Uint8Array(rows * columns * 4);
          for (const copy of copies) {
            const shard = new Uint8Array(2000);
            io.readInto(String(copy.shard), 0, shard);
            moveRuns(copy, shard, 0, expected, 0);
          }
          const found = new Uint8Array(expected.byteLength);
          for (let from = 0; from < found.byteLength; from += size) {
            const target = found.subarray(from, from + size);
            fillTile({ copies, sources: io.sources }, from, target, io.readInto, new Uint8Array(size));
          }
          expect(found).toEqual(expected);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('reads short runs in large blocks: 4,096 rows of 256 bytes from each of 4 ranks in 4 reads', () => {
    const io = memoryShards(Array.from({ length: 4 }, (_, rank) => bytesOf(4096 * 256, rank)));
    const packed = new Array(4).fill({ rowStep: 256, columnStep: 2 });
    const copies = composeCopies(joinColumns(4, 4096, 128), trimRows(4096), packed, 512, 2);
    const target = new Uint8Array(4 * MEBIBYTE);
    fillTile({ copies, sources: io.sources }, 0, target, io.readInto, new Uint8Array(4 * MEBIBYTE));
    expect(io.stats).toEqual({ reads: 4, bytes: target.byteLength });
    expect(target.subarray(256, 512)).toEqual(bytesOf(4096 * 256, 1).subarray(0, 256));
  });

  it('reads long runs straight into the tile, once each', () => {
    const io = memoryShards([bytesOf(3 * MEBIBYTE, 1)]);
    const packed = [{ rowStep: 4096, columnStep: 2 }];
    const copies = composeCopies(stackRows(1, 768, 2048), takeQkv('q', 2, 4, 64), packed, 2048, 2);
    const target = new Uint8Array(2 * MEBIBYTE);
    fillTile({ copies, sources: io.sources }, 0, target, io.readInto, new Uint8Array(2 * MEBIBYTE));
    expect(io.stats).toEqual({ reads: 2, bytes: target.byteLength });
  });

  it('reads a transposed shard in one block, though each of its elements is a run', () => {
    const io = memoryShards([bytesOf(64 * 64 * 2, 1)]);
    const copies = composeCopies(stackRows(1, 64, 64), trimRows(64), [{ rowStep: 2, columnStep: 128 }], 64, 2);
    const target = new Uint8Array(64 * 64 * 2);
    fillTile({ copies, sources: io.sources }, 0, target, io.readInto, new Uint8Array(MEBIBYTE));
    expect(io.stats).toEqual({ reads: 1, bytes: target.byteLength });
  });

  it('does not read over gaps that are longer than a read costs', () => {
    const io = memoryShards([bytesOf(8 * 102_400, 1)]);
    const copies = [{ shard: 0, from: 0, to: 0, bytes: 1024, count: 8, fromStep: 102_400, toStep: 1024 }];
    fillTile({ copies, sources: io.sources }, 0, new Uint8Array(8192), io.readInto, new Uint8Array(MEBIBYTE));
    expect(io.stats).toEqual({ reads: 8, bytes: 8192 });
  });

  it('reads over the gaps between the heads of one shard', () => {
    const io = memoryShards([bytesOf(32 * 3 * 1024, 1)]);
    const copies = composeCopies(
      stackRows(1, 96, 512),
      takeQkv('k', 32, 1, 1),
      [{ rowStep: 1024, columnStep: 2 }],
      512,
      2,
    );
    const target = new Uint8Array(32 * 1024);
    fillTile({ copies, sources: io.sources }, 0, target, io.readInto, new Uint8Array(MEBIBYTE));
    expect(io.stats.reads).toBe(1);
  });
});

/** A plan of one file with tensors of given sizes, each taken whole from one shard. */
function simplePlan(sizes: readonly number[]): {
  shard: { name: string; tensors: PlannedTensor[]; byteLength: number };
  io: ReturnType<typeof memoryShards>;
} {
  const io = memoryShards(sizes.map((size, at) => bytesOf(size, at)));
  const tensors = sizes.map(
    (size, at): PlannedTensor => ({
      name: `t${at}`,
      dtype: 'U8',
      shape: [size],
      byteLength: size,
      megatronName: `m${at}`,
      sources: io.sources.slice(at, at + 1),
      copies: composeCopies(stackRows(1, size, 1), trimRows(size), [{ rowStep: 1, columnStep: 1 }], 1, 1),
    }),
  );
  return { shard: { name: 'model.safetensors', tensors, byteLength: sizes.reduce((sum, size) => sum + size, 0) }, io };
}

function collect(readInto: TensorIo['readInto']) {
  const chunks: Uint8Array[] = [];
  let finished = 0;
  const io: TensorIo = {
    readInto,
    createOutput: async () => ({
      write: (bytes) => void chunks.push(bytes.slice()),
      finish: async () => void finished++,
    }),
  };
  return {
    io,
    bytes: () => Buffer.concat(chunks),
    largest: () => Math.max(...chunks.map(({ byteLength }) => byteLength)),
    finished: () => finished,
  };
}

describe('executePlan', () => {
  it('writes a safetensors file whose digest is that of its bytes', async () => {
    const { shard, io } = simplePlan([10, 9 * MEBIBYTE + 3, 1]);
    const out = collect(io.readInto);
    const seen: number[] = [];
    const [file] = await executePlan([shard], out.io, { onProgress: ({ doneBytes }) => void seen.push(doneBytes) });
    const bytes = out.bytes();
    expect(file).toEqual({
      name: 'model.safetensors',
      bytes: bytes.byteLength,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
    const { tensors, metadata } = parseHeader(bytes, bytes.byteLength, 'out');
    expect(metadata).toEqual({ format: 'pt' });
    for (const [at, size] of [10, 9 * MEBIBYTE + 3, 1].entries()) {
      const info = tensors.get(`t${at}`);
      const begin = info?.byteOffset ?? 0;
      expect(Buffer.compare(bytes.subarray(begin, begin + size), bytesOf(size, at))).toBe(0);
    }
    expect(seen.at(-1)).toBe(shard.byteLength);
    expect(out.finished()).toBe(1);
  });

  it('row 39: never holds more than a tile, whatever the size of a tensor', async () => {
    const { shard, io } = simplePlan([20 * MEBIBYTE]);
    const out = collect(io.readInto);
    await executePlan([shard], out.io);
    expect(out.largest()).toBeLessThanOrEqual(2 * MEBIBYTE);
    expect(io.stats.reads).toBe(10);
  });

  it('stops between tiles with the reason of the signal', async () => {
    const { shard, io } = simplePlan([9 * MEBIBYTE]);
    const out = collect(io.readInto);
    const abort = new AbortController();
    const reason = new Error('enough');
    const running = executePlan([shard], out.io, { signal: abort.signal, onProgress: () => abort.abort(reason) });
    await expect(running).rejects.toBe(reason);
    expect(io.stats.reads).toBe(1);
    expect(out.finished()).toBe(0);
  });

  it('gives no digest where none is asked for, and the same bytes', async () => {
    const { shard, io } = simplePlan([5 * MEBIBYTE]);
    const [digested, plain] = [collect(io.readInto), collect(io.readInto)];
    await executePlan([shard], digested.io);
    const [file] = await executePlan([shard], plain.io, { digest: 'none' });
    expect(file).toEqual({ name: shard.name, bytes: plain.bytes().byteLength, sha256: null });
    expect(Buffer.compare(plain.bytes(), digested.bytes())).toBe(0);
  });

  it('takes the digest of large files in another thread: the same one', async () => {
    const { shard, io } = simplePlan([40 * MEBIBYTE + 5, 30 * MEBIBYTE]);
    const hash = createHash('sha256');
    const output = { write: (bytes: Uint8Array) => void hash.update(bytes), finish: async () => {} };
    const [file] = await executePlan([shard], { readInto: io.readInto, createOutput: async () => output });
    expect(file?.sha256).toBe(hash.digest('hex'));
  });
});

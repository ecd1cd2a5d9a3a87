import { type ByteSource, bytesSource, sliceSource } from '@pai-cpt/core';
import { isKind, openTorchFile, tensorDeclaration } from '@pai-cpt/torch-checkpoint';
import { describe, expect, it } from 'vitest';
import type { RankTensor } from '../rank-plan.ts';
import { partLength, type TorchPart, TorchPartsWriter } from './torch-parts.ts';

const tensor = (rows: number): RankTensor => ({
  localName: 'w',
  shape: [rows],
  dtype: 'U8',
  sourceDtype: 'U8',
  byteLength: rows,
  sources: [],
  copies: [],
});
const part = (rows: number): TorchPart => ({
  stem: 'archive',
  root: tensorDeclaration('U8', [rows]),
  tensors: [tensor(rows)],
});
const object: TorchPart = { stem: 'archive', root: [null], tensors: [] };
const BIG = 200_000;

function collect() {
  const writes: Uint8Array[] = [];
  const kept: Uint8Array[] = [];
  return {
    writes,
    kept,
    async write(bytes: Uint8Array) {
      writes.push(bytes);
      kept.push(bytes.slice());
    },
  };
}

describe('TorchPartsWriter', () => {
  it('makes torch.save files one behind the other, each of the length that was foretold', async () => {
    const parts = [object, part(3), part(0), part(BIG), object];
    const out = collect();
    const writer = new TorchPartsWriter(out, parts);
    await writer.start();
    await writer.append(Uint8Array.of(7, 8, 9));
    for (let at = 0; at < BIG; at += BIG / 2) await writer.append(new Uint8Array(BIG / 2).fill(5));
    await writer.finish();
    const source: ByteSource = bytesSource(Buffer.concat(out.kept));
    const roots = [];
    let at = 0;
    for (const each of parts) {
      const file = await openTorchFile(sliceSource(source, at, partLength(each), 'part'), 'part');
      expect(await file.verifyChecksums()).toBe(true);
      const { root } = file;
      const bytes =
        isKind(root, 'tensor') && (await file.tensorSource(root).read(0, Math.min(3, root.shape[0] as number)));
      roots.push(bytes ? [...bytes] : root);
      at += partLength(each);
    }
    expect(at).toBe(source.byteLength);
    expect(roots).toEqual([[null], [7, 8, 9], [], [5, 5, 5], [null]]);
  });

  it('hands large blocks on as they are, and what lies between two tensors in one piece', async () => {
    const out = collect();
    const writer = new TorchPartsWriter(out, [part(BIG), part(BIG)]);
    await writer.start();
    expect(out.writes).toHaveLength(1);
    const block = new Uint8Array(BIG);
    await writer.append(block);
    expect(out.writes[1]?.buffer).toBe(block.buffer);
    expect(out.writes).toHaveLength(3); // the end of the first file and the beginning of the second, together
  });

  it.each([
    ['tensors that never came', [part(3)], 'part 1 of 1 misses 3 bytes'],
    ['parts that never came', [part(3), part(4)], 'part 1 of 2 misses 3 bytes'],
  ])('refuses to end with %s', async (_, parts, message) => {
    const writer = new TorchPartsWriter(collect(), parts);
    await writer.start();
    await expect(writer.finish()).rejects.toThrow(message);
  });
});

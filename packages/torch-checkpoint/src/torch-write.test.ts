import { bytesSource, countingSource } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { fixtureBytes } from '../test/expected-values.ts';
import { openTorchFile } from './open-torch-file.ts';
import { getEntry, type TorchTensor } from './pickle-values.ts';
import { TorchFileWriter } from './torch-write.ts';
import { float, namespace, orderedDict, tensorDeclaration, tuple, type WritableValue } from './writable-values.ts';

const weight = tensorDeclaration('BF16', [2, 3]);
const root: WritableValue = new Map<string, WritableValue>([
  [
    'args',
    namespace({
      num_layers: 4,
      norm_epsilon: 1e-6,
      params_dtype: { kind: 'dtype', dtype: 'BF16' },
      name: 'naïve 文本',
      nothing: null,
      flag: true,
      negative: -40_000,
      long: 5_000_000_000,
      big: 2n ** 70n,
    }),
  ],
  ['checkpoint_version', float(3)],
  [
    'model',
    orderedDict([
      ['embedding.weight', weight],
      ['output_layer.weight', weight],
      ['norm.weight', tensorDeclaration('F32', [2])],
      ['empty', tensorDeclaration('I64', [0, 3])],
      ['eight', tensorDeclaration('F8_E4M3', [3])],
      ['scalar', tensorDeclaration('F64', [])],
      ['norm._extra_state', null],
    ]),
  ],
  ['list', [1, 'x', [false], tuple([1, 2, 3, 4])]],
]);
const data = Buffer.from('803f004040408040a040c040' + '0000803e0000c0ff' + '38c07e' + '000000000000e0bf', 'hex');

async function write(chunkBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const writer = new TorchFileWriter({ write: async (bytes) => void parts.push(bytes.slice()) }, 'written', root);
  expect(writer.tensors.map(({ dtype }) => dtype)).toEqual(['BF16', 'F32', 'I64', 'F8_E4M3', 'F64']);
  await writer.start();
  for (let at = 0; at < data.byteLength; at += chunkBytes) await writer.append(data.subarray(at, at + chunkBytes));
  await writer.finish();
  const file = Buffer.concat(parts);
  expect(writer.byteLength).toBe(file.byteLength);
  return file;
}

describe('TorchFileWriter', () => {
  it('writes the file that torch loaded as these values (fixtures/torch/verify.py), however it is cut', async () => {
    const committed = fixtureBytes('written.pt');
    for (const chunkBytes of [1, 7, 1000]) expect((await write(chunkBytes)).equals(committed)).toBe(true);
  });

  it('is read back', async () => {
    const file = await openTorchFile(bytesSource(fixtureBytes('written.pt')), 'written.pt');
    expect(await file.verifyChecksums()).toBe(true);
    const model = getEntry(file.root, 'model');
    const source = file.tensorSource(getEntry(model, 'output_layer.weight') as TorchTensor);
    expect(Buffer.from(await source.read(0, 12))).toEqual(data.subarray(0, 12));
    expect(getEntry(model, 'empty')).toMatchObject({ shape: [0, 3] });
    expect([...file.tensors.values()]).toContain('model.eight');
  });

  it('needs a few KB of reads to open, whatever the size of its tensors', async () => {
    const parts: Uint8Array[] = [];
    const big = new TorchFileWriter(
      { write: async (bytes) => void parts.push(bytes.slice()) },
      'big',
      orderedDict(Array.from({ length: 20 }, (_, i) => [`layer ${i}`, tensorDeclaration('F32', [256, 256])])),
    );
    await big.start();
    for (let i = 0; i < 20; i++) await big.append(new Uint8Array(256 * 1024));
    await big.finish();
    const source = countingSource(bytesSource(new Uint8Array(Buffer.concat(parts))));
    const file = await openTorchFile(source, 'big.pt');
    expect(file.tensors.size).toBe(20);
    // The longest comment of a zip (64 KB), the directory, 20 + 5 local headers, the pickle.
    expect(source.stats.bytes).toBeLessThan(75_000);
    expect(source.stats.reads).toBeLessThan(40);
  });

  it('refuses bytes too many, too few, and a stem that is a path', async () => {
    const sink = { write: async () => {} };
    const one = () => new TorchFileWriter(sink, 'w', tensorDeclaration('U8', [2]));
    const writer = one();
    await writer.start();
    await writer.append(Uint8Array.of(1));
    await expect(writer.finish()).rejects.toThrow('tensor 1 of 1 misses 1 bytes');
    await expect(writer.append(Uint8Array.of(1, 2))).rejects.toThrow('1 bytes more than its 1 tensors take');
    for (const stem of ['a/b', '..', '', 'a\\b']) {
      expect(() => new TorchFileWriter(sink, stem, null)).toThrow(
        expect.objectContaining({ code: 'CPT_INPUT_INVALID' }),
      );
    }
  });
});

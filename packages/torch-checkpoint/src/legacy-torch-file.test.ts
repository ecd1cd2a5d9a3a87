import { bytesSource, countingSource } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { fixtureBytes, fixtureJson, gather, parseExpected, toExpected } from '../test/expected-values.ts';
import { global, int, join, MARK, op, proto, STOP, text, u64 } from '../test/pickle-bytes.ts';
import { openTorchFile } from './open-torch-file.ts';
import type { TorchTensor } from './pickle-values.ts';

const open = (bytes: Uint8Array) => openTorchFile(bytesSource(bytes, 'old.pt'), 'old.pt');

async function describeAll(bytes: Uint8Array): Promise<unknown> {
  const file = await open(bytes);
  const described = new Map<TorchTensor, unknown>();
  for (const tensor of file.tensors.keys()) {
    const source = file.tensorSource(tensor);
    const { dtype, shape, stride, storageOffset } = tensor;
    const hex = Buffer.from(gather(tensor, await source.read(0, source.byteLength))).toString('hex');
    described.set(tensor, { tensor: dtype, shape, stride, storageOffset, hex });
  }
  return toExpected(file.root, (tensor) => described.get(tensor));
}

describe('a file that torch wrote in the form of before 1.6', () => {
  it('is read as torch described it', async () => {
    expect(await describeAll(fixtureBytes('legacy.pt'))).toEqual(
      parseExpected(fixtureJson('expected.json')['legacy.pt']),
    );
  });

  it('is read with views of every dtype and stride', async () => {
    expect(await describeAll(fixtureBytes('legacy-tensors.pt'))).toEqual(
      parseExpected(fixtureJson('legacy-tensors.json')),
    );
  });

  it('has no checksums, and names its globals', async () => {
    const file = await open(fixtureBytes('legacy.pt'));
    expect(file.byteOrder).toBe('little');
    expect(file.globals).toEqual(['torch._utils _rebuild_tensor_v2', 'torch FloatStorage', 'collections OrderedDict']);
    await expect(file.verifyChecksums()).resolves.toBe(false);
  });

  it('is refused at every cut', async () => {
    const bytes = fixtureBytes('legacy.pt');
    for (let length = 14; length < bytes.byteLength; length++) {
      await expect(open(bytes.slice(0, length)), `${length}`).rejects.toMatchObject({
        code: expect.stringMatching(/^CPT_(PICKLE_TRUNCATED|FORMAT_TRUNCATED)$/),
      });
    }
  });
});

describe('a file put together to deceive', () => {
  const magic = new Uint8Array(Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex'));
  const protocol = join(proto(2), op('BININT2', 0xe9, 0x03), STOP);
  const tuple = (...items: Uint8Array[]) => join(MARK, ...items, op('TUPLE'));
  const system = (little: Uint8Array) =>
    join(proto(2), op('EMPTY_DICT'), text('little_endian'), little, op('SETITEM'), STOP);
  const object = ({ elements = 2, view = op('NONE'), storage = 'FloatStorage' } = {}) => {
    const id = [text('storage'), global('torch', storage), text('7'), text('cpu'), int(elements), view];
    const sizes = (value: number) => tuple(int(value));
    const args = [tuple(...id), op('BINPERSID'), int(0), sizes(2), sizes(1), op('NEWFALSE'), op('NONE')];
    return join(proto(2), global('torch._utils', '_rebuild_tensor_v2'), tuple(...args), op('REDUCE'), STOP);
  };
  const list = (...keys: string[]) => join(proto(2), MARK, ...keys.map(text), op('LIST'), STOP);
  const honest = {
    magic,
    protocol,
    system: system(op('NEWTRUE')),
    object: object(),
    keys: list('7'),
    count: u64(2n),
    data: new Uint8Array(8),
  };
  const fileOf = (changes: Partial<typeof honest> = {}) => join(...Object.values({ ...honest, ...changes }));

  it('is read when it is honest, without its data', async () => {
    const source = countingSource(bytesSource(fileOf()));
    await openTorchFile(source, 'old.pt');
    const pickles = source.byteLength - 16;
    const file = await open(fileOf());
    const [tensor] = file.tensors.keys();
    expect(file.tensorSource(tensor as TorchTensor).byteLength).toBe(8);
    expect(source.stats.reads).toBe(3);
    expect(source.stats.bytes).toBeGreaterThanOrEqual(pickles);
  });

  it.each([
    ['CPT_FORMAT_STORAGE_SIZE', { count: u64(3n) }, 'storage 7 begins with 3 elements, the pickle says 2'],
    ['CPT_FORMAT_STORAGE_SIZE', { count: u64(2n ** 64n - 1n) }, 'begins with -1 elements'],
    ['CPT_FORMAT_STORAGE_SIZE', { count: u64(2n ** 63n) }, 'begins with -9223372036854775808 elements'],
    [
      'CPT_FORMAT_STORAGE_BOUNDS',
      { object: object({ elements: 1 }), count: u64(1n), data: new Uint8Array(4) },
      'reaches element 2 of 1 in storage 7',
    ],
    ['CPT_FORMAT_TRUNCATED', { object: object({ elements: 255 }), count: u64(255n) }, 'storage 7 needs bytes'],
    ['CPT_FORMAT_TORCH_LAYOUT', { data: new Uint8Array(9) }, '1 bytes follow its last storage'],
    ['CPT_FORMAT_TORCH_LAYOUT', { keys: list('8') }, 'its list of storages names 8 that no tensor uses'],
    ['CPT_FORMAT_TORCH_LAYOUT', { keys: list('7', '7') }, 'names 7 twice'],
    ['CPT_FORMAT_TORCH_LAYOUT', { keys: join(proto(2), op('NONE'), STOP) }, 'behind its object is None'],
    ['CPT_FORMAT_TORCH_LAYOUT', { protocol: join(proto(2), int(1), STOP) }, 'and protocol 1, not'],
    ['CPT_FORMAT_TORCH_LAYOUT', { system: system(op('NONE')) }, 'its "little_endian" is None'],
    [
      'CPT_FORMAT_STORAGE_MISSING',
      { keys: list(), count: new Uint8Array(), data: new Uint8Array() },
      'needs storage 7, which is not in the file',
    ],
    ['CPT_UNSUPPORTED_TORCH_LEGACY', { object: object({ view: tuple(text('v'), int(0), int(2)) }) }, 'storage view'],
    ['CPT_PICKLE_TENSOR', { object: object({ storage: 'Size' }) }, 'is not the persistent id of a storage'],
  ])('%s: %#', async (code, changes, message) => {
    const error = await open(fileOf(changes)).catch((reason) => reason);
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(message);
  });

  it('holds big-endian data back', async () => {
    const count = new Uint8Array(8);
    count[7] = 2;
    const file = await open(fileOf({ system: system(op('NEWFALSE')), count }));
    const [tensor] = file.tensors.keys();
    expect(() => file.tensorSource(tensor as TorchTensor)).toThrow(
      expect.objectContaining({ code: 'CPT_UNSUPPORTED_BYTE_ORDER' }),
    );
  });

  it('reads on where the pickles are longer than the first read', async () => {
    const long = join(proto(2), op('BINUNICODE', new Uint8Array([0, 0, 0x30, 0]), 'x'.repeat(0x30_0000)), STOP);
    const file = await open(fileOf({ object: long, keys: list(), count: new Uint8Array(), data: new Uint8Array() }));
    expect(file.root).toHaveLength(0x30_0000);
  });
});

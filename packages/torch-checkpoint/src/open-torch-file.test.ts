import { type ByteSource, bytesSource } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { fixtureBytes, fixtureJson, gather, parseExpected, toExpected } from '../test/expected-values.ts';
import { global, int, join, MARK, op, proto, REDUCE, STOP, text } from '../test/pickle-bytes.ts';
import { SparseFile } from '../test/sparse-file.ts';
import { type EntryBytes, zipOf } from '../test/zip-bytes.ts';
import { openTorchFile } from './open-torch-file.ts';
import { asMap, getEntry, namespaceFields, type TorchTensor } from './pickle-values.ts';
import type { TorchFile } from './torch-file.ts';
import { StoredZipWriter } from './zip-write.ts';

const expected = fixtureJson('expected.json');
const open = (name: string, bytes: Uint8Array = fixtureBytes(name)) => openTorchFile(bytesSource(bytes, name), name);

async function describeAll(file: TorchFile): Promise<unknown> {
  const described = new Map<TorchTensor, unknown>();
  for (const tensor of file.tensors.keys()) {
    const source = file.tensorSource(tensor);
    const { dtype, shape, stride, storageOffset } = tensor;
    const hex = Buffer.from(gather(tensor, await source.read(0, source.byteLength))).toString('hex');
    described.set(tensor, { tensor: dtype, shape, stride, storageOffset, hex });
  }
  return toExpected(file.root, (tensor) => described.get(tensor));
}

describe('openTorchFile', () => {
  it.each(['tensors.pt', 'values.pt', 'protocol4.pt', 'no-checksums.pt'])(
    'reads %s as torch described it',
    async (name) => {
      expect(await describeAll(await open(name))).toEqual(parseExpected(expected[name]));
    },
  );

  it('reaches from the first element of a view to its last', async () => {
    const file = await open('tensors.pt');
    const tensorAt = (path: string) => [...file.tensors].find(([, at]) => at === path)?.[0] as TorchTensor;
    const columns = tensorAt('columns'); // [4, 2] out of [4, 6]: three rows of six, and two
    expect(columns).toMatchObject({ shape: [4, 2], stride: [6, 1], storageOffset: 2, storageLength: 24 });
    expect(file.tensorSource(columns).byteLength).toBe((3 * 6 + 2) * 4);
    expect(file.tensorSource(tensorAt('expanded')).byteLength).toBe(12);
    expect(file.tensorSource(tensorAt('empty of rows')).byteLength).toBe(0);
    const [a, b] = [tensorAt('shared a'), tensorAt('shared b')];
    expect(a.storageKey).toBe(b.storageKey);
    expect(file.storageSource(a.storageKey).byteLength).toBe(80);
    expect(tensorAt('parameter').subclass).toBe('torch.nn.parameter Parameter');
    for (const [tensor] of file.tensors) expect(tensor.device).toBe('cpu');
  });

  it('row 11: keeps instances of unknown classes as records, and lists what was named', async () => {
    const file = await open('values.pt');
    const args = namespaceFields(getEntry(file.root, 'args'), 'args');
    expect(args.get('num_layers')).toBe(4);
    expect(args.get('params_dtype')).toEqual({ kind: 'dtype', name: 'bfloat16', dtype: 'BF16' });
    expect(args.get('attention_backend')).toMatchObject({
      kind: 'record',
      global: 'training_lib.options Backend',
      args: [1],
    });
    expect(args.get('__proto__')).toBe('only a name');
    expect(file.globals).toContain('training_lib.options ModelInfo');
    expect(file.globals[0]).toBe('argparse Namespace');
    expect(asMap(file.root).get(7)).toBe('int key');
    expect(asMap(file.root).get('7')).toBe('text key');
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  it('verifies checksums where there are any, and sees one flipped bit', async () => {
    await expect((await open('tensors.pt')).verifyChecksums()).resolves.toBe(true);
    await expect((await open('no-checksums.pt')).verifyChecksums()).resolves.toBe(false);
    const bytes = fixtureBytes('tensors.pt');
    const file = await open('tensors.pt');
    const [tensor] = file.tensors.keys();
    const reads: [number, number][] = [];
    await (await openTorchFile(spy(bytes, reads), 't')).tensorSource(tensor as TorchTensor).read(0, 1);
    const at = reads.at(-1)?.[0] as number;
    bytes[at] = (bytes[at] as number) ^ 1;
    await expect((await open('tensors.pt', bytes)).verifyChecksums()).rejects.toMatchObject({ code: 'CPT_ZIP_CRC' });
  });

  it('refuses a pickle with a flipped bit before it is read', async () => {
    const bytes = fixtureBytes('values.pt');
    const at = Buffer.from(bytes).indexOf('norm_epsilon');
    bytes[at] = (bytes[at] as number) ^ 1;
    await expect(open('values.pt', bytes)).rejects.toMatchObject({ code: 'CPT_ZIP_CRC' });
  });

  it('refuses every cut of a file, quickly', async () => {
    const bytes = fixtureBytes('no-checksums.pt');
    for (let length = 0; length < bytes.byteLength; length++) {
      await expect(open('cut.pt', bytes.slice(0, length)), `${length}`).rejects.toMatchObject({
        code: expect.stringMatching(/^CPT_ZIP_(TRUNCATED|NOT_A_ZIP)$/),
      });
    }
  });
});

describe('a file put together to deceive', () => {
  const hooks = join(global('collections', 'OrderedDict'), op('EMPTY_TUPLE'), REDUCE);
  const tuple = (...items: Uint8Array[]) => join(MARK, ...items, op('TUPLE'));
  /** `{"model": {"w": tensor}}` of F32 over storage 0. */
  function pickleOf({ elements = 6, offset = 0, shape = [2, 3], stride = [3, 1], key = '0' } = {}): Uint8Array {
    const sizes = (values: number[]) => tuple(...values.map(int));
    const id = [text('storage'), global('torch', 'FloatStorage'), text(key), text('cpu'), int(elements)];
    const args = [tuple(...id), op('BINPERSID'), int(offset), sizes(shape), sizes(stride), op('NEWFALSE'), hooks];
    const tensor = join(global('torch._utils', '_rebuild_tensor_v2'), tuple(...args), REDUCE);
    const model = join(op('EMPTY_DICT'), text('w'), tensor, op('SETITEM'));
    return join(proto(2), op('EMPTY_DICT'), text('model'), model, op('SETITEM'), STOP);
  }
  const fileOf = (pickle: Uint8Array, ...more: EntryBytes[]) =>
    open('a.pt', zipOf([{ name: 'a/data.pkl', data: pickle }, ...more]));
  const storage = { name: 'a/data/0', data: new Uint8Array(24) };

  it('is read when it is honest', async () => {
    expect([...(await fileOf(pickleOf(), storage)).tensors.values()]).toEqual(['model.w']);
  });

  it.each([
    ['CPT_FORMAT_STORAGE_MISSING', {}, { ...storage, name: 'a/data/1' }, '"model.w" needs data/0'],
    [
      'CPT_FORMAT_STORAGE_SIZE',
      {},
      { ...storage, data: new Uint8Array(20) },
      'data/0 has 20 bytes, the pickle says 24',
    ],
    ['CPT_FORMAT_STORAGE_SIZE', {}, { ...storage, data: new Uint8Array(28) }, '"model.w": data/0 has 28 bytes'],
    [
      'CPT_FORMAT_STORAGE_BOUNDS',
      { offset: 1 },
      storage,
      '"model.w": shape [2, 3], stride [3, 1], offset 1 reaches element 7 of 6',
    ],
    ['CPT_FORMAT_STORAGE_BOUNDS', { stride: [4, 1] }, storage, 'reaches element 7 of 6 in data/0'],
    ['CPT_FORMAT_STORAGE_BOUNDS', { shape: [3, 3] }, storage, 'reaches element 9 of 6'],
    ['CPT_PICKLE_TENSOR', { key: '../a' }, storage, 'is not the persistent id of a storage'],
  ])('row 18: %s: %j', async (code, changes, entry, message) => {
    const error = await fileOf(pickleOf(changes), entry).catch((reason) => reason);
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(message);
  });

  it('takes a view that reaches nothing, and a stride where there is one element', async () => {
    await expect(fileOf(pickleOf({ shape: [0, 200], stride: [255, 255] }), storage)).resolves.toBeDefined();
    await expect(fileOf(pickleOf({ shape: [1, 6], stride: [255, 1] }), storage)).resolves.toBeDefined();
  });

  it('refuses two lengths of one storage, and one that no tensor uses and the file lacks', async () => {
    const id = (length: number) =>
      join(
        tuple(text('storage'), global('torch', 'FloatStorage'), text('0'), text('cpu'), int(length)),
        op('BINPERSID'),
      );
    const two = join(MARK, id(6), id(5), op('LIST'), STOP);
    await expect(fileOf(two, storage)).rejects.toMatchObject({ code: 'CPT_PICKLE_TENSOR' });
    await expect(fileOf(join(id(6), STOP))).rejects.toMatchObject({ code: 'CPT_FORMAT_STORAGE_MISSING' });
  });

  it('row 1: refuses an attack in the pickle, naming it', async () => {
    const attack = join(proto(2), global('os', 'system'), text('touch canary'), op('TUPLE1'), REDUCE, STOP);
    await expect(fileOf(attack)).rejects.toThrow(/^a\.pt data\.pkl: GLOBAL at byte 2: it names os\.system/);
  });

  it('holds big-endian data back, except where there is no order', async () => {
    const order = { name: 'a/byteorder', data: 'big' };
    const file = await fileOf(pickleOf(), storage, order);
    const [tensor] = file.tensors.keys();
    expect(file.byteOrder).toBe('big');
    expect(() => file.tensorSource(tensor as TorchTensor)).toThrow(
      expect.objectContaining({ code: 'CPT_UNSUPPORTED_BYTE_ORDER' }),
    );
    const bytes = { ...(tensor as TorchTensor), dtype: 'U8' as const };
    expect(file.tensorSource(bytes).byteLength).toBe(6);
    const middle = fileOf(pickleOf(), storage, { name: 'a/byteorder', data: 'middle' });
    await expect(middle).rejects.toMatchObject({ code: 'CPT_FORMAT_TORCH_LAYOUT' });
    const long = fileOf(pickleOf(), storage, { name: 'a/byteorder', data: 'little-endian' });
    await expect(long).rejects.toThrow('its byteorder is 13 bytes long');
  });

  it('refuses a zip that torch.save did not lay out', async () => {
    const layout = { code: 'CPT_FORMAT_TORCH_LAYOUT' };
    const pickle = { name: 'a/data.pkl', data: pickleOf() };
    await expect(open('a.pt', zipOf([{ name: 'a/data', data: 'x' }]))).rejects.toMatchObject(layout);
    await expect(open('a.pt', zipOf([{ ...pickle, name: 'data.pkl' }]))).rejects.toMatchObject(layout);
    await expect(open('a.pt', zipOf([pickle, storage, { ...pickle, name: 'b/data.pkl' }]))).rejects.toMatchObject(
      layout,
    );
    const script = open('a.pt', zipOf([pickle, storage, { name: 'a/constants.pkl', data: 'x' }]));
    await expect(script).rejects.toMatchObject({ code: 'CPT_UNSUPPORTED_TORCHSCRIPT' });
  });

  it('refuses a pickle of 320 MB before it is read', async () => {
    const file = new SparseFile();
    const zip = new StoredZipWriter(file);
    await zip.begin('a/data.pkl', 5 * file.zeros.byteLength);
    for (let i = 0; i < 5; i++) await zip.write(file.zeros);
    await zip.finish();
    await expect(openTorchFile(file, 'a.pt')).rejects.toThrow('its pickle has 335544320 bytes; the limit is');
  });

  it.each([
    ['a 7z archive', '377abcaf271c0004'],
    ['a gzip file', '1f8b0808'],
    ['a safetensors file', '10000000000000007b2261223a'],
    ['a bare pickle', '80024e2e'],
  ])('row 17: names %s', async (what, hex) => {
    const error = await open('a.pt', new Uint8Array(Buffer.from(hex, 'hex'))).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'CPT_ZIP_NOT_A_ZIP', message: `a.pt: it is ${what}, not a torch.save file` });
  });
});

/** A source that notes what was read. */
function spy(bytes: Uint8Array, reads: [from: number, to: number][]): ByteSource {
  const inner = bytesSource(bytes);
  return {
    byteLength: inner.byteLength,
    read(at, length) {
      reads.push([at, at + length]);
      return inner.read(at, length);
    },
  };
}

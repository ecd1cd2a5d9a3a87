import { FormatError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { global, int, join, op, REDUCE, STOP, text, u32 } from '../test/pickle-bytes.ts';
import { storageFromId } from './torch-tensors.ts';
import { unpickle } from './unpickle.ts';

const read = (...parts: Parameters<typeof join>) =>
  unpickle(join(...parts), 'data.pkl', { persistentLoad: storageFromId });

function refusal(...parts: Parameters<typeof join>): FormatError {
  try {
    read(...parts);
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error('the pickle was accepted');
}

const tuple = (...items: Uint8Array[]) => join(op('MARK'), ...items, op('TUPLE'));
const call = (module: string, name: string, ...args: Uint8Array[]) =>
  join(global(module, name), tuple(...args), REDUCE);
const ids = {
  tag: text('storage'),
  storage: global('torch', 'FloatStorage'),
  key: text('0'),
  device: text('cpu'),
  length: int(6),
};
const storage = (changes: Partial<typeof ids> = {}) =>
  join(tuple(...Object.values({ ...ids, ...changes })), op('BINPERSID'));
const hooks = call('collections', 'OrderedDict');
const parts = { storage: storage(), offset: int(0), shape: tuple(int(2), int(3)), stride: tuple(int(3), int(1)) };
const extras = { requiresGrad: op('NEWFALSE'), hooks };
const v2 = (changes: Partial<typeof parts & typeof extras> = {}, ...more: Uint8Array[]) =>
  call('torch._utils', '_rebuild_tensor_v2', ...Object.values({ ...parts, ...extras, ...changes }), ...more);

describe('the tensors that torch writes', () => {
  const tensor = { kind: 'tensor', dtype: 'F32', shape: [2, 3], stride: [3, 1], storageKey: '0', storageLength: 6 };

  it('are built by each of its functions', () => {
    expect(read(v2(), STOP)).toMatchObject(tensor);
    expect(read(v2({}, op('EMPTY_DICT')), STOP)).toMatchObject(tensor);
    expect(read(call('torch._utils', '_rebuild_tensor', ...Object.values(parts)), STOP)).toMatchObject(tensor);
    const untyped = storage({ storage: global('torch.storage', 'UntypedStorage'), length: int(12) });
    const v3 = [
      untyped,
      parts.offset,
      parts.shape,
      parts.stride,
      extras.requiresGrad,
      hooks,
      global('torch', 'bfloat16'),
    ];
    expect(read(call('torch._utils', '_rebuild_tensor_v3', ...v3), STOP)).toMatchObject({ ...tensor, dtype: 'BF16' });
    const parameter = call('torch._utils', '_rebuild_parameter', v2(), op('NEWTRUE'), hooks);
    expect(read(parameter, STOP)).toMatchObject({ ...tensor, subclass: 'torch.nn.parameter Parameter' });
    const withState = call(
      'torch._utils',
      '_rebuild_parameter_with_state',
      v2(),
      op('NEWTRUE'),
      hooks,
      op('EMPTY_DICT'),
    );
    expect(read(withState, STOP)).toMatchObject(tensor);
    const inner = tuple(...Object.values({ ...parts, ...extras }));
    const type = [global('torch._utils', '_rebuild_tensor_v2'), global('lib', 'MyTensor'), inner, op('EMPTY_DICT')];
    expect(read(call('torch._tensor', '_rebuild_from_type_v2', ...type), STOP)).toMatchObject({
      ...tensor,
      subclass: 'lib MyTensor',
    });
    expect(read(v2(), op('EMPTY_DICT'), op('BUILD'), STOP)).toMatchObject(tensor);
    expect(read(v2({ storage: storage({ storage: global('torch.cuda', 'FloatStorage') }) }), STOP)).toMatchObject(
      tensor,
    );
  });

  it('of a dtype that we cannot hold stay records', () => {
    const complex = storage({ storage: global('torch', 'ComplexFloatStorage') });
    expect(read(v2({ storage: complex }), STOP)).toMatchObject({
      kind: 'record',
      global: 'torch._utils _rebuild_tensor_v2',
    });
    expect(read(global('torch', 'complex64'), STOP)).toEqual({ kind: 'dtype', name: 'complex64', dtype: undefined });
    const quantized = call('torch._utils', '_rebuild_qtensor', storage({ storage: global('torch', 'QInt8Storage') }));
    expect(read(quantized, STOP)).toMatchObject({ kind: 'record', global: 'torch._utils _rebuild_qtensor' });
  });
});

describe('arguments that torch never writes', () => {
  const big = op('BININT', u32(0x7fffffff));
  const cases: [string, Uint8Array][] = [
    ['a function for a storage', v2({ storage: global('lib', 'f') })],
    ['a text for an offset', v2({ offset: text('0') })],
    ['a negative offset', v2({ offset: op('BININT', u32(0xffffffff)) })],
    ['a fractional offset', v2({ offset: op('BINFLOAT', 0x3f, 0xe0, 0, 0, 0, 0, 0, 0) })],
    ['a list for a shape', v2({ shape: join(op('MARK'), int(2), int(3), op('LIST')) })],
    ['a list for a stride', v2({ stride: join(op('MARK'), int(3), int(1), op('LIST')) })],
    ['a negative stride', v2({ stride: tuple(op('BININT', u32(0xffffffff)), int(1)) })],
    [
      'a text for a dtype',
      call('torch._utils', '_rebuild_tensor_v3', ...Object.values({ ...parts, ...extras }), text('bfloat16')),
    ],
    ['a negative size', v2({ shape: tuple(op('BININT', u32(0xffffffff)), int(3)) })],
    ['a shape of more than 2^53 elements', v2({ shape: tuple(big, big), stride: tuple(int(0), int(0)) })],
    ['a stride less', v2({ stride: tuple(int(1)) })],
    ['a function for a hook', v2({ hooks: global('lib', 'f') })],
    ['a hook', v2({ hooks: join(op('EMPTY_DICT'), text('k'), int(1), op('SETITEM')) })],
    ['a number for requires_grad', v2({ requiresGrad: int(1) })],
    ['a number for metadata', v2({}, int(1))],
    ['nine arguments', v2({}, op('NONE'), op('NONE'), op('NONE'))],
    ['three arguments', call('torch._utils', '_rebuild_tensor', parts.storage, parts.offset, parts.shape)],
    ['a parameter of two', call('torch._utils', '_rebuild_parameter', v2(), op('NEWTRUE'))],
    ['a type that is none', call('torch._tensor', '_rebuild_from_type_v2', int(1), int(2), tuple(), op('NONE'))],
  ];
  it.each(cases)('row 4: %s is refused', (_, bytes) => {
    expect(refusal(bytes, STOP).code).toBe('CPT_PICKLE_TENSOR');
  });

  const storages: [string, Partial<typeof ids>][] = [
    ['of another tag', { tag: text('module') }],
    ['of another class', { storage: global('lib', 'FloatStorage') }],
    ['of an unknown storage', { storage: global('torch', 'FloatStorages') }],
    ['with a number for its key', { key: int(0) }],
    ['with a path for its key', { key: text('../data.pkl') }],
    ['with a number for its device', { device: int(0) }],
    ['with a negative length', { length: op('BININT', u32(0xffffffff)) }],
    ['of more than 2^53 bytes', { length: op('LONG1', 7, new Uint8Array(6).fill(0xff), 0x1f) }],
    ['with a length past 2^53', { length: op('LONG1', 8, new Uint8Array(6), 0x40, 0) }],
  ];
  it.each(storages)('a storage %s is refused', (_, changes) => {
    expect(refusal(storage(changes), STOP).code).toBe('CPT_PICKLE_TENSOR');
  });

  it('a persistent id that is no tuple of five is refused', () => {
    expect(refusal(text('0'), op('BINPERSID'), STOP).code).toBe('CPT_PICKLE_TENSOR');
  });
});

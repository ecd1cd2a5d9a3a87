import { bytesPerElement, type Dtype } from '@pai-cpt/core';
import type { Builder, CallContext, Refuse } from './call-context.ts';
import {
  describeValue,
  isKind,
  isTuple,
  type PickleDtype,
  type PickleStorage,
  type PickleValue,
  type TorchTensor,
} from './pickle-values.ts';

/** torch's own name of each dtype that we can hold. */
export const DTYPE_NAMES: Readonly<Record<Dtype, string>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U8: 'uint8',
  BOOL: 'bool',
  F8_E4M3: 'float8_e4m3fn',
  F8_E5M2: 'float8_e5m2',
};

const ALIASES: readonly (readonly [string, Dtype])[] = [
  ['double', 'F64'],
  ['float', 'F32'],
  ['half', 'F16'],
  ['long', 'I64'],
  ['int', 'I32'],
  ['short', 'I16'],
];

const OTHER_DTYPES =
  'complex32 complex64 complex128 chalf cfloat cdouble uint16 uint32 uint64 qint8 quint8 qint32 quint4x2 quint2x4 ' +
  'float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2';

/** `torch.<name>` → dtype. */
export const TORCH_DTYPES: ReadonlyMap<string, PickleDtype> = new Map(
  [
    ...Object.entries(DTYPE_NAMES).map(([dtype, name]) => [name, dtype as Dtype] as const),
    ...ALIASES,
    ...OTHER_DTYPES.split(' ').map((name) => [name, undefined] as const),
  ].map(([name, dtype]): [string, PickleDtype] => [name, { kind: 'dtype', name, dtype }]),
);

/** The class of the storage in a persistent id → its dtype and bytes per element; numbers alone for what we cannot hold. */
const STORAGES: ReadonlyMap<string, Dtype | number> = new Map<string, Dtype | number>([
  ['DoubleStorage', 'F64'],
  ['FloatStorage', 'F32'],
  ['HalfStorage', 'F16'],
  ['BFloat16Storage', 'BF16'],
  ['LongStorage', 'I64'],
  ['IntStorage', 'I32'],
  ['ShortStorage', 'I16'],
  ['CharStorage', 'I8'],
  ['ByteStorage', 'U8'],
  ['BoolStorage', 'BOOL'],
  ['UntypedStorage', 1],
  ['ComplexFloatStorage', 8],
  ['ComplexDoubleStorage', 16],
  ['QInt8Storage', 1],
  ['QUInt8Storage', 1],
  ['QInt32Storage', 4],
  ['QUInt4x2Storage', 1],
  ['QUInt2x4Storage', 1],
]);

/** torch's class of a storage of each dtype; undefined for the float8 ones, which have none. */
export function storageClass(dtype: Dtype): string | undefined {
  for (const [name, value] of STORAGES) if (value === dtype) return name;
  return undefined;
}

/**
 * The storage of `('storage', <class>, key, location, elements)`; elements count bytes for an untyped storage.
 * @throws FormatError `CPT_PICKLE_TENSOR` for an id of any other form.
 */
export function storageFromId(id: PickleValue, refuse: Refuse): PickleStorage {
  const [tag, storage, key, device, length] = isTuple(id) && id.length === 5 ? id : [];
  const isStorage = isKind(storage, 'global') && /^torch(\.storage|\.cuda)? /.test(storage.global);
  const element = isStorage ? STORAGES.get(storage.global.split(' ')[1] as string) : undefined;
  // The key becomes part of an entry name, so it is held to what torch writes there.
  const isKey = typeof key === 'string' && /^[\w.-]{1,64}$/.test(key);
  if (tag !== 'storage' || element === undefined || !isKey || typeof device !== 'string' || !isCount(length)) {
    throw refuse('CPT_PICKLE_TENSOR', `${describeValue(id)} is not the persistent id of a storage`);
  }
  const dtype = typeof element === 'string' ? element : undefined;
  const byteLength = length * (typeof element === 'string' ? bytesPerElement(element) : element);
  if (!Number.isSafeInteger(byteLength)) throw refuse('CPT_PICKLE_TENSOR', `storage ${key} has more than 2^53 bytes`);
  return { kind: 'storage', key, dtype, byteLength, device };
}

/** The functions by which torch rebuilds tensors; each takes exactly the arguments that torch writes, or refuses. */
export const TENSOR_BUILDERS: readonly (readonly [string, Builder])[] = [
  ['torch._utils _rebuild_tensor', (args, { refuse }) => rebuildTensor(exactly(args, 4, 4, refuse), undefined, refuse)],
  [
    'torch._utils _rebuild_tensor_v2',
    (args, { refuse }) => {
      exactly(args, 6, 7, refuse);
      checkExtras(args[4], args[5], args[6], refuse);
      return rebuildTensor(args, undefined, refuse);
    },
  ],
  [
    'torch._utils _rebuild_tensor_v3',
    (args, { refuse }) => {
      exactly(args, 7, 8, refuse);
      checkExtras(args[4], args[5], args[7], refuse);
      const dtype = args[6];
      if (!isKind(dtype, 'dtype')) throw refuse('CPT_PICKLE_TENSOR', `the dtype is ${describeValue(dtype)}`);
      return rebuildTensor(args, dtype, refuse);
    },
  ],
  ['torch._utils _rebuild_parameter', (args, { refuse }) => parameter(exactly(args, 3, 3, refuse), refuse)],
  ['torch._utils _rebuild_parameter_with_state', (args, { refuse }) => parameter(exactly(args, 4, 4, refuse), refuse)],
  ['torch._tensor _rebuild_from_type_v2', rebuildFromType],
];

function exactly(args: PickleValue[], least: number, most: number, refuse: Refuse): PickleValue[] {
  if (args.length >= least && args.length <= most) return args;
  throw refuse(
    'CPT_PICKLE_TENSOR',
    `a tensor is rebuilt from ${args.length} arguments; ${least} to ${most} are written`,
  );
}

/** `requires_grad`, the hooks (an empty OrderedDict), and the optional metadata. */
function checkExtras(
  requiresGrad: PickleValue | undefined,
  hooks: PickleValue | undefined,
  metadata: PickleValue | undefined,
  refuse: Refuse,
) {
  const isPlain =
    typeof requiresGrad === 'boolean' &&
    (hooks === null || (hooks instanceof Map && hooks.size === 0)) &&
    (metadata === undefined || metadata === null || metadata instanceof Map);
  if (!isPlain) {
    const what = [requiresGrad, hooks, metadata].map(describeValue).join(', ');
    throw refuse('CPT_PICKLE_TENSOR', `requires_grad, hooks and metadata of a tensor are ${what}`);
  }
}

/** A tensor over a storage; undefined, and so a record, when its elements are of a dtype that we cannot hold. */
function rebuildTensor(args: PickleValue[], given: PickleDtype | undefined, refuse: Refuse): TorchTensor | undefined {
  const [storage, offset, shape, stride] = args;
  const isWhole =
    isKind(storage, 'storage') &&
    isCount(offset) &&
    isCounts(shape) &&
    isCounts(stride) &&
    shape.length === stride.length &&
    isCount(shape.reduce((count, size) => count * size, 1));
  if (!isWhole) {
    const what = [storage, offset, shape, stride].map(describeValue).join(', ');
    throw refuse('CPT_PICKLE_TENSOR', `storage, offset, size and stride of a tensor are ${what}`);
  }
  const dtype = given ? given.dtype : storage.dtype;
  if (dtype === undefined) return undefined;
  return {
    kind: 'tensor',
    dtype,
    shape: [...shape],
    stride: [...stride],
    storageKey: storage.key,
    storageOffset: offset,
    storageLength: Math.floor(storage.byteLength / bytesPerElement(dtype)),
    device: storage.device,
  };
}

/** The tensor inside; what is no tensor stays a record. */
function parameter(args: PickleValue[], refuse: Refuse): PickleValue | undefined {
  const [tensor, requiresGrad, hooks] = args;
  checkExtras(requiresGrad, hooks, undefined, refuse);
  return isKind(tensor, 'tensor') ? { ...tensor, subclass: 'torch.nn.parameter Parameter' } : undefined;
}

/** `_rebuild_from_type_v2(function, class, arguments, state)`: the tensor, with its class as a tag and without its state. */
function rebuildFromType(args: PickleValue[], context: CallContext): PickleValue | undefined {
  const [callee, type, inner] = exactly(args, 4, 4, context.refuse);
  if (!isKind(callee, 'global') || !isKind(type, 'global') || !isTuple(inner)) {
    const what = [callee, type, inner].map(describeValue).join(', ');
    throw context.refuse('CPT_PICKLE_TENSOR', `function, class and arguments of a tensor are ${what}`);
  }
  const builder = TENSOR_BUILDERS.find(([name]) => name === callee.global)?.[1];
  const tensor = builder?.(inner, context);
  return isKind(tensor, 'tensor') ? { ...tensor, subclass: type.global } : undefined;
}

function isCount(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: PickleValue | undefined): value is number[] {
  return isTuple(value) && value.every(isCount);
}

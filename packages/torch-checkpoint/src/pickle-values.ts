import { type Dtype, FormatError } from '@pai-cpt/core';

/**
 * What a pickle becomes: plain data. A list is an array, a tuple a frozen array, `int` past 2^53 a bigint. Nothing here has
 * behaviour, and no key of a dict can reach a prototype.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleMap
  | PickleSet
  | PickleGlobal
  | PickleRecord
  | PickleDtype
  | PickleDevice
  | PickleStorage
  | TorchTensor;

/** A `dict` or `OrderedDict`. Keys that are tuples or records are found by identity. */
export type PickleMap = Map<PickleValue, PickleValue>;

/** A `set` or `frozenset`. */
export type PickleSet = Set<PickleValue>;

/** The name of a class or function, standing for itself; `'torch._utils _rebuild_tensor'`. It is never looked up. */
export interface PickleGlobal {
  readonly kind: 'global';
  readonly global: string;
}

/** An instance of a class that we do not know, as the pickle describes it. */
export interface PickleRecord {
  readonly kind: 'record';
  /** Module and name, `'argparse Namespace'`. */
  readonly global: string;
  /** What the constructor would get. */
  readonly args: PickleValue[];
  readonly keywords?: PickleMap;
  /** What `__setstate__` or `__dict__` would get; undefined without a BUILD. */
  state: PickleValue | undefined;
  /** Values appended, for a subclass of list. */
  items: PickleValue[];
  /** Entries set, for a subclass of dict. */
  entries: PickleMap;
}

/** `torch.bfloat16` and its like; `dtype` is undefined for one that we cannot hold, such as `complex64`. */
export interface PickleDtype {
  readonly kind: 'dtype';
  readonly name: string;
  readonly dtype: Dtype | undefined;
}

export interface PickleDevice {
  readonly kind: 'device';
  /** `'cpu'`, `'cuda:0'`. */
  readonly device: string;
}

/** The bytes behind one or more tensors: entry `data/<key>` of the file. */
export interface PickleStorage {
  readonly kind: 'storage';
  readonly key: string;
  /** Undefined for an untyped storage, and for one whose elements we cannot hold. */
  readonly dtype: Dtype | undefined;
  readonly byteLength: number;
  readonly device: string;
}

/** A strided view of a storage. `stride`, `storageOffset` and `storageLength` count elements. */
export interface TorchTensor {
  readonly kind: 'tensor';
  readonly dtype: Dtype;
  readonly shape: number[];
  readonly stride: number[];
  readonly storageKey: string;
  readonly storageOffset: number;
  readonly storageLength: number;
  readonly device: string;
  /** The class of a tensor subclass, `'torch.nn.parameter Parameter'`; undefined for a plain tensor. */
  readonly subclass?: string;
}

type Tagged = Extract<PickleValue, { readonly kind: string }>;

/** True for a value with this `kind`. */
export function isKind<K extends Tagged['kind']>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<Tagged, { readonly kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}

/** True for a tuple: an array that the pickle cannot change any more. */
export function isTuple(value: PickleValue | undefined): value is PickleValue[] {
  return Array.isArray(value) && Object.isFrozen(value);
}

/**
 * The value as a dict; `what` names it in the message.
 * @throws FormatError `CPT_FORMAT_TORCH_LAYOUT` when it is something else.
 */
export function asMap(value: PickleValue | undefined, what = 'the value'): PickleMap {
  if (value instanceof Map) return value;
  throw new FormatError('CPT_FORMAT_TORCH_LAYOUT', `${what} is ${describeValue(value)}; a dict is needed`);
}

/** The entry of a dict, or undefined. */
export function getEntry(map: PickleValue | undefined, key: string): PickleValue | undefined {
  return map instanceof Map ? map.get(key) : undefined;
}

/**
 * The attributes of an `argparse.Namespace`, a `SimpleNamespace`, or any record whose state is a dict with string keys.
 * @throws FormatError `CPT_FORMAT_TORCH_LAYOUT` for anything else.
 */
export function namespaceFields(value: PickleValue | undefined, what = 'the value'): Map<string, PickleValue> {
  if (!isKind(value, 'record') || (value.state !== undefined && !(value.state instanceof Map))) {
    throw new FormatError('CPT_FORMAT_TORCH_LAYOUT', `${what} is ${describeValue(value)}; a namespace is needed`);
  }
  const fields = new Map<string, PickleValue>();
  for (const [key, field] of value.state ?? []) if (typeof key === 'string') fields.set(key, field);
  return fields;
}

/** A few words on what a value is, for messages. */
export function describeValue(value: PickleValue | undefined): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'None';
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof Set) return `a set of ${value.size}`;
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return `a ${isTuple(value) ? 'tuple' : 'list'} of ${value.length}`;
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  if (typeof value !== 'object') return String(value);
  if (value.kind === 'record') return `an instance of ${value.global}`;
  if (value.kind === 'global') return `the global ${value.global}`;
  return `a ${value.kind}`;
}

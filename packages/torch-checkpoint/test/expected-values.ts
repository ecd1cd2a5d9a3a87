import { readFileSync } from 'node:fs';
import { bytesPerElement, elementCount } from '@pai-cpt/core';
import { isKind, isTuple, type PickleValue, type TorchTensor } from '../src/pickle-values.ts';

export const FIXTURES = new URL('../../../fixtures/torch/', import.meta.url);

export const fixtureBytes = (name: string) => new Uint8Array(readFileSync(new URL(name, FIXTURES)));
export const fixtureJson = (name: string) => JSON.parse(readFileSync(new URL(name, FIXTURES), 'utf8'));

/** The values in row-major order, picked out of the storage by shape and stride. */
export function gather(tensor: TorchTensor, bytes: Uint8Array): Uint8Array {
  const size = bytesPerElement(tensor.dtype);
  const out = new Uint8Array(elementCount(tensor.shape) * size);
  const index = tensor.shape.map(() => 0);
  for (let at = 0; at < out.byteLength; at += size) {
    const from = index.reduce((sum, i, axis) => sum + i * (tensor.stride[axis] as number), 0) * size;
    out.set(bytes.subarray(from, from + size), at);
    for (let axis = index.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (tensor.shape[axis] as number)) break;
      index[axis] = 0;
    }
  }
  return out;
}

/** A value in the JSON of fixtures/torch/generate.py; tensors become what `describeTensor` says. */
export function toExpected(value: PickleValue, describeTensor: (tensor: TorchTensor) => unknown): unknown {
  const each = (items: Iterable<PickleValue>) => [...items].map((item) => toExpected(item, describeTensor));
  const pairs = (map: Map<PickleValue, PickleValue>) => [...map].map((pair) => each(pair));
  if (typeof value === 'bigint') return { int: String(value) };
  if (value instanceof Map) return { dict: pairs(value) };
  if (value instanceof Set) return { set: each(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') };
  if (Array.isArray(value)) return isTuple(value) ? { tuple: each(value) } : { list: each(value) };
  if (typeof value !== 'object' || value === null) return value;
  if (isKind(value, 'tensor')) return describeTensor(value);
  if (isKind(value, 'global')) return { global: value.global };
  if (isKind(value, 'dtype')) return { dtype: value.name };
  if (isKind(value, 'device')) return { device: value.device };
  if (isKind(value, 'storage')) return { storage: value.key };
  const record = {
    record: value.global,
    args: each(value.args),
    items: each(value.items),
    entries: pairs(value.entries),
  };
  return value.state === undefined ? record : { ...record, state: toExpected(value.state, describeTensor) };
}

/** The JSON of generate.py with `{"float": "1.5"}` as a number, which is what both become here. */
export function parseExpected(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(parseExpected);
  if (typeof json !== 'object' || json === null) return json;
  const entries = Object.entries(json);
  if (entries.length === 1 && entries[0]?.[0] === 'float') {
    return Number(String(entries[0][1]).replace('inf', 'Infinity').replace('nan', 'NaN'));
  }
  return Object.fromEntries(entries.map(([key, value]) => [key, parseExpected(value)]));
}

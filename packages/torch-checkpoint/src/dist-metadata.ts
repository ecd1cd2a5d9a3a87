// `.metadata` of a checkpoint by torch.distributed.checkpoint (`torch_dist` in Megatron): one pickle, of which is read
//
//   Metadata.state_dict_metadata   name → TensorStorageMetadata { properties: (dtype, …), size, chunks: [{ offsets, sizes }] }
//                                         or BytesStorageMetadata
//   Metadata.storage_data          MetadataIndex { fqn, offset } → _StorageInfo { relative_path, offset, length }
//
// A chunk is a box of the tensor, and an item, a whole torch.save file of its own, somewhere in one of the `.distcp` files.

import { type ByteSource, type Dtype, FormatError, UnsupportedError } from '@pai-cpt/core';
import { describeValue, isKind, isTuple, type PickleRecord, type PickleValue } from './pickle-values.ts';
import { readPickle } from './torch-file.ts';
import { unpickle } from './unpickle.ts';

/** A stretch of one of the files beside `.metadata`. */
export interface DistItem {
  /** A file name without folders. */
  readonly relativePath: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The box `[offsets, offsets + sizes)` of a tensor and the item that holds it. */
export interface DistChunk extends DistItem {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
}

export interface DistTensor {
  /** Undefined for one that we cannot hold. */
  readonly dtype: Dtype | undefined;
  readonly shape: readonly number[];
  readonly chunks: readonly DistChunk[];
}

export interface DistMetadata {
  readonly tensors: ReadonlyMap<string, DistTensor>;
  /** What is stored as bytes: pickled objects. */
  readonly objects: ReadonlyMap<string, DistItem>;
}

/** `.metadata` from its file. @throws as `parseDistMetadata`, and FormatError `CPT_PICKLE_LIMIT` before a huge one is read. */
export async function readDistMetadata(source: ByteSource, file: string, signal?: AbortSignal): Promise<DistMetadata> {
  return parseDistMetadata(await readPickle(source, file, signal), file);
}

/**
 * The tensors and objects of a distributed checkpoint. Whether the chunks of a tensor tile it is for its reader to prove.
 * @throws FormatError the `CPT_PICKLE_` codes, `CPT_FORMAT_DIST_METADATA`; UnsupportedError `CPT_UNSUPPORTED_CHECKPOINT` for
 *   compressed items.
 */
export function parseDistMetadata(bytes: Uint8Array, file: string): DistMetadata {
  const root = fieldsOf(unpickle(bytes, file), 'Metadata', file, 'it');
  const stored = indexItems(root.get('storage_data'), file);
  const described = root.get('state_dict_metadata');
  if (!(described instanceof Map)) throw bad(file, `its state_dict_metadata is ${describeValue(described)}, no dict`);
  const tensors = new Map<string, DistTensor>();
  const objects = new Map<string, DistItem>();
  for (const [name, value] of described) {
    if (typeof name !== 'string') throw bad(file, `a name in it is ${describeValue(name)}`);
    const kind = className(value);
    if (kind === 'BytesStorageMetadata') {
      objects.set(name, itemAt(stored, name, undefined, file));
    } else {
      tensors.set(name, parseTensor(name, fieldsOf(value, 'TensorStorageMetadata', file, `"${name}"`), stored, file));
    }
  }
  return { tensors, objects };
}

type Fields = ReadonlyMap<PickleValue, PickleValue>;
type Stored = ReadonlyMap<string, DistItem>;

/** `torch.distributed.checkpoint` was `torch.distributed._shard.checkpoint` before 2.0, so only the class name counts. */
function className(value: PickleValue | undefined): string | undefined {
  if (!isKind(value, 'record') || !/^torch\.distributed\./.test(value.global)) return undefined;
  return value.global.split(' ')[1];
}

function fieldsOf(value: PickleValue | undefined, name: string, file: string, what: string): Fields {
  if (className(value) === name && (value as PickleRecord).state instanceof Map) {
    return (value as PickleRecord).state as Fields;
  }
  throw bad(file, `${what} is ${describeValue(value)}; a ${name} of torch.distributed is needed`);
}

/** Keys are objects whose state is complete only when the whole pickle is read, so they are indexed now. */
function indexItems(data: PickleValue | undefined, file: string): Stored {
  if (!(data instanceof Map)) throw bad(file, `its storage_data is ${describeValue(data)}, no dict`);
  const items = new Map<string, DistItem>();
  for (const [index, info] of data) {
    const key = fieldsOf(index, 'MetadataIndex', file, 'a key of storage_data');
    const name = key.get('fqn');
    if (typeof name !== 'string') throw bad(file, `a key of storage_data has the name ${describeValue(name)}`);
    const place = placeKey(name, readSizes(key.get('offset') ?? undefined, `the offset of "${name}"`, file));
    if (items.has(place)) throw bad(file, `${describePlace(place)} is stored twice`);
    items.set(place, parseItem(fieldsOf(info, '_StorageInfo', file, `the place of "${name}"`), name, file));
  }
  return items;
}

function parseItem(info: Fields, name: string, file: string): DistItem {
  const [path, byteOffset, byteLength] = ['relative_path', 'offset', 'length'].map((field) => info.get(field));
  const transforms = info.get('transform_descriptors') ?? [];
  if (!Array.isArray(transforms) || transforms.length > 0) {
    const how = Array.isArray(transforms) ? transforms.map(String).join(', ') : describeValue(transforms);
    const why = `"${name}" is stored through ${how}; save it again without compression`;
    throw new UnsupportedError('CPT_UNSUPPORTED_CHECKPOINT', `${file}: ${why}`, { file, feature: 'transformed items' });
  }
  if (typeof path !== 'string' || !/^[\w.-]{1,255}$/.test(path) || /^\.+$/.test(path)) {
    throw bad(file, `"${name}" lies in ${describeValue(path)}; a file name beside it is needed`);
  }
  if (!isCount(byteOffset) || !isCount(byteLength) || !Number.isSafeInteger(byteOffset + byteLength)) {
    throw bad(file, `"${name}" lies at ${describeValue(byteOffset)} with length ${describeValue(byteLength)}`);
  }
  return { relativePath: path, byteOffset, byteLength };
}

function parseTensor(name: string, fields: Fields, stored: Stored, file: string): DistTensor {
  const shape = requireSizes(fields.get('size'), `the size of "${name}"`, file);
  const chunks = fields.get('chunks');
  if (!Array.isArray(chunks)) throw bad(file, `the chunks of "${name}" are ${describeValue(chunks)}`);
  return {
    dtype: dtypeOf(fields.get('properties'), name, file),
    shape,
    chunks: chunks.map((chunk) => {
      const box = fieldsOf(chunk, 'ChunkStorageMetadata', file, `a chunk of "${name}"`);
      const offsets = requireSizes(box.get('offsets'), `the offsets of a chunk of "${name}"`, file);
      const sizes = requireSizes(box.get('sizes'), `the sizes of a chunk of "${name}"`, file);
      const isInside = offsets.every((offset, axis) => offset + (sizes[axis] ?? 0) <= (shape[axis] ?? -1));
      if (offsets.length !== shape.length || sizes.length !== shape.length || !isInside) {
        const what = `[${offsets.join(', ')}] + [${sizes.join(', ')}]`;
        throw bad(file, `a chunk of "${name}" is ${what}, outside [${shape.join(', ')}]`);
      }
      return { offsets, sizes, ...itemAt(stored, name, offsets, file) };
    }),
  };
}

/** `TensorProperties` pickles itself as a tuple that begins with the dtype; earlier versions as their fields. */
function dtypeOf(properties: PickleValue | undefined, name: string, file: string): Dtype | undefined {
  const state = className(properties) === 'TensorProperties' ? (properties as PickleRecord).state : undefined;
  const dtype = isTuple(state) ? state[0] : state instanceof Map ? state.get('dtype') : undefined;
  if (isKind(dtype, 'dtype')) return dtype.dtype;
  throw bad(file, `the dtype of "${name}" is ${describeValue(dtype)}`);
}

function itemAt(stored: Stored, name: string, offsets: readonly number[] | undefined, file: string): DistItem {
  const place = placeKey(name, offsets);
  const item = stored.get(place);
  if (item) return item;
  throw bad(file, `${describePlace(place)} has no place in storage_data; files of another checkpoint lie mixed`);
}

/** `index` of a MetadataIndex is a hint that is often missing; name and offset identify a chunk. */
function placeKey(name: string, offsets: readonly number[] | undefined): string {
  return offsets ? `${name}\n${offsets.join(', ')}` : name;
}

function describePlace(place: string): string {
  const [name, offsets] = place.split('\n');
  return offsets === undefined ? `"${name}"` : `the chunk of "${name}" at [${offsets}]`;
}

function requireSizes(value: PickleValue | undefined, what: string, file: string): number[] {
  const sizes = readSizes(value, what, file);
  if (sizes) return sizes;
  throw bad(file, `${what} is missing`);
}

function readSizes(value: PickleValue | undefined, what: string, file: string): number[] | undefined {
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every(isCount)) return [...value];
  throw bad(file, `${what} is ${describeValue(value)}; sizes are needed`);
}

function isCount(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function bad(file: string, why: string): FormatError {
  return new FormatError('CPT_FORMAT_DIST_METADATA', `${file}: ${why}`, { file });
}

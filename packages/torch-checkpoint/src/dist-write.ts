import { type Dtype, InvalidInputError } from '@pai-cpt/core';
import type { DistChunk, DistItem, DistMetadata, DistTensor } from './dist-metadata.ts';
import { serializePickle } from './pickle.ts';
import type { WritableValue } from './writable-values.ts';

const METADATA = 'torch.distributed.checkpoint.metadata';
const FILESYSTEM = 'torch.distributed.checkpoint.filesystem';

/**
 * The `.metadata` of a distributed checkpoint, as torch 2.3 and later write it and `FileSystemReader` and Megatron-Core read it; what
 * `parseDistMetadata` reads.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a tensor without a dtype or a name that has no pickle.
 */
export function serializeDistMetadata({ tensors, objects }: DistMetadata): Uint8Array {
  const described: [string, WritableValue][] = [];
  const stored: [WritableValue, WritableValue][] = [];
  for (const [name, tensor] of tensors) {
    described.push([name, tensorMetadata(name, tensor)]);
    for (const chunk of tensor.chunks) stored.push([metadataIndex(name, chunk), storageInfo(chunk)]);
  }
  for (const [name, item] of objects) {
    described.push([name, { kind: 'instance', module: METADATA, name: 'BytesStorageMetadata', state: undefined }]);
    stored.push([metadataIndex(name), storageInfo(item)]);
  }
  const root = instance(METADATA, 'Metadata', [
    ['state_dict_metadata', new Map(described)],
    ['planner_data', null],
    ['storage_data', { kind: 'dict', entries: stored }],
    ['storage_meta', null],
    ['version', '1.0.0'],
  ]);
  return serializePickle(root, 4).bytes;
}

function tensorMetadata(name: string, { dtype, shape, chunks }: DistTensor): WritableValue {
  if (dtype === undefined) throw new InvalidInputError('CPT_INPUT_INVALID', `.metadata: "${name}" has no dtype`);
  return instance(METADATA, 'TensorStorageMetadata', [
    ['properties', properties(dtype)],
    ['size', sizes(shape)],
    ['chunks', chunks.map(chunkMetadata)],
  ]);
}

/** dtype, layout, requires_grad, memory format, pin_memory: the tuple that `TensorProperties.__setstate__` takes. */
function properties(dtype: Dtype): WritableValue {
  const layout: WritableValue = {
    kind: 'call',
    module: 'torch.serialization',
    name: '_get_layout',
    args: ['torch.strided'],
  };
  const contiguous: WritableValue = { kind: 'call', module: METADATA, name: '_MEM_FORMAT_ENCODING', args: [0] };
  const state: WritableValue = { kind: 'tuple', items: [{ kind: 'dtype', dtype }, layout, false, contiguous, false] };
  return { kind: 'instance', module: METADATA, name: 'TensorProperties', state };
}

function chunkMetadata({ offsets, sizes: extent }: DistChunk): WritableValue {
  return instance(METADATA, 'ChunkStorageMetadata', [
    ['offsets', sizes(offsets)],
    ['sizes', sizes(extent)],
  ]);
}

function metadataIndex(name: string, chunk?: DistChunk): WritableValue {
  return instance(METADATA, 'MetadataIndex', [
    ['fqn', name],
    ['index', null],
    ...(chunk ? [['offset', sizes(chunk.offsets)] as const] : []),
  ]);
}

function storageInfo({ relativePath, byteOffset, byteLength }: DistItem): WritableValue {
  return instance(FILESYSTEM, '_StorageInfo', [
    ['relative_path', relativePath],
    ['offset', byteOffset],
    ['length', byteLength],
  ]);
}

function instance(module: string, name: string, fields: readonly (readonly [string, WritableValue])[]): WritableValue {
  return { kind: 'instance', module, name, state: new Map(fields) };
}

function sizes(values: readonly number[]): WritableValue {
  return { kind: 'call', module: 'torch', name: 'Size', args: [{ kind: 'tuple', items: [...values] }] };
}

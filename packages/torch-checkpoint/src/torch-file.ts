import {
  type ByteSource,
  bytesPerElement,
  elementCount,
  FormatError,
  sliceSource,
  UnsupportedError,
} from '@pai-cpt/core';
import type { Refuse } from './call-context.ts';
import { walkGraph } from './pickle-graph.ts';
import type { PickleStorage, PickleValue, TorchTensor } from './pickle-values.ts';

/** An open torch.save file: its structure is in memory, the bytes of its tensors are not. */
export interface TorchFile {
  readonly file: string;
  readonly root: PickleValue;
  /** Every global that the pickle names, `'module name'`, in the order of first use. */
  readonly globals: readonly string[];
  readonly byteOrder: 'little' | 'big';
  /** The tensors with the path of their first place in `root`, as `'model.decoder.final_layernorm.weight'`. */
  readonly tensors: ReadonlyMap<TorchTensor, string>;
  /**
   * The storage from the tensor's first element to its last; the caller applies shape and stride.
   * @throws UnsupportedError `CPT_UNSUPPORTED_BYTE_ORDER` when elements of more than one byte are big-endian.
   */
  tensorSource(tensor: TorchTensor): ByteSource;
  /** The whole storage of this key. */
  storageSource(key: string): ByteSource;
  /**
   * Reads everything against the checksums of the zip.
   * @returns false when the file has none to compare with.
   * @throws FormatError `CPT_ZIP_CRC`.
   */
  verifyChecksums(signal?: AbortSignal): Promise<boolean>;
}

/** The pickle of a rank file of a 72B model has some hundred KB. */
export const MAX_PICKLE_BYTES = 256 * 1024 * 1024;

/** @throws FormatError `CPT_PICKLE_LIMIT` for a pickle that is not to be read into memory. */
export function requirePickleSize(byteLength: number, file: string): void {
  if (byteLength <= MAX_PICKLE_BYTES) return;
  const why = `its pickle has ${byteLength} bytes; the limit is ${MAX_PICKLE_BYTES}`;
  throw new FormatError('CPT_PICKLE_LIMIT', `${file}: ${why}`, { file });
}

/** The bytes of a file that is one pickle. @throws FormatError `CPT_PICKLE_LIMIT`. */
export async function readPickle(source: ByteSource, file: string, signal?: AbortSignal): Promise<Uint8Array> {
  requirePickleSize(source.byteLength, file);
  return source.read(0, source.byteLength, signal);
}

/** Bytes of the file. */
export interface StoragePlace {
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** What the two forms of a torch file differ in, once their pickle is read. */
export interface TorchFileParts extends Pick<TorchFile, 'file' | 'root' | 'byteOrder' | 'verifyChecksums'> {
  readonly source: ByteSource;
  readonly globals: ReadonlySet<string>;
  readonly storages: ReadonlyMap<string, PickleStorage>;
  /** Where the storage of this key lies; undefined when the file has none. */
  locate(key: string): StoragePlace | undefined;
  /** What the place of a storage is called: `data/0`. */
  placeName(key: string): string;
}

/** Notes a storage that the pickle names; the same key always means the same bytes. */
export function addStorage(storages: Map<string, PickleStorage>, storage: PickleStorage, refuse: Refuse): void {
  const before = storages.get(storage.key) ?? storage;
  if (before.byteLength !== storage.byteLength) {
    const why = `storage ${storage.key} has ${before.byteLength} bytes in one place and ${storage.byteLength} in another`;
    throw refuse('CPT_PICKLE_TENSOR', why);
  }
  storages.set(storage.key, storage);
}

/**
 * The open file, after proof that every storage is there in its length and every tensor stays inside its own.
 * @throws FormatError `CPT_PICKLE_LIMIT`; with the tensor's path `CPT_FORMAT_STORAGE_MISSING`, `CPT_FORMAT_STORAGE_SIZE`,
 *   `CPT_FORMAT_STORAGE_BOUNDS`.
 */
export function assembleTorchFile(parts: TorchFileParts): TorchFile {
  const { file, root, byteOrder, source, storages, locate } = parts;
  const tensors = walkGraph(root, file);
  for (const [tensor, path] of tensors) {
    checkStorage(storages.get(tensor.storageKey) as PickleStorage, `"${path}"`, parts);
    checkBounds(tensor, path, parts);
  }
  for (const storage of storages.values()) checkStorage(storage, `storage ${storage.key}`, parts);

  const storageSource = (key: string): ByteSource => {
    const place = locate(key);
    if (!place) throw missing(key, 'a caller', parts);
    return sliceSource(source, place.byteOffset, place.byteLength, `${file} "${parts.placeName(key)}"`);
  };
  return {
    file,
    root,
    globals: [...parts.globals],
    byteOrder,
    tensors,
    storageSource,
    tensorSource(tensor) {
      const size = bytesPerElement(tensor.dtype);
      if (byteOrder === 'big' && size > 1) {
        const why = 'its elements are big-endian; load it with torch on a little-endian machine and save it again';
        throw new UnsupportedError('CPT_UNSUPPORTED_BYTE_ORDER', `${file}: ${why}`, {
          file,
          feature: 'big-endian data',
        });
      }
      const path = `${file} "${tensors.get(tensor) ?? tensor.storageKey}"`;
      return sliceSource(storageSource(tensor.storageKey), tensor.storageOffset * size, reach(tensor) * size, path);
    },
    verifyChecksums: parts.verifyChecksums,
  };
}

function checkStorage(storage: PickleStorage, what: string, parts: TorchFileParts): void {
  const { file } = parts;
  const place = parts.locate(storage.key);
  if (!place) throw missing(storage.key, what, parts);
  if (place.byteLength === storage.byteLength) return;
  const name = parts.placeName(storage.key);
  const why = `${what}: ${name} has ${place.byteLength} bytes, the pickle says ${storage.byteLength}`;
  throw new FormatError('CPT_FORMAT_STORAGE_SIZE', `${file}: ${why}; copy the file again`, {
    file,
    byteOffset: place.byteOffset,
  });
}

/** Every element that shape and stride reach lies in the storage. */
function checkBounds(tensor: TorchTensor, path: string, { file, placeName }: TorchFileParts): void {
  const { storageKey, storageLength, storageOffset, shape, stride } = tensor;
  const end = storageOffset + reach(tensor);
  if (end <= storageLength) return;
  const view = `shape [${shape.join(', ')}], stride [${stride.join(', ')}], offset ${storageOffset}`;
  const why = `"${path}": ${view} reaches element ${end} of ${storageLength} in ${placeName(storageKey)}`;
  throw new FormatError('CPT_FORMAT_STORAGE_BOUNDS', `${file}: ${why}`, { file, field: path });
}

/** Elements from the first to the last that the tensor addresses, both included. */
function reach({ shape, stride }: TorchTensor): number {
  if (elementCount(shape) === 0) return 0;
  return shape.reduce((sum, size, axis) => sum + (size - 1) * (stride[axis] as number), 1);
}

function missing(key: string, what: string, { file, placeName }: TorchFileParts): FormatError {
  const why = `${what} needs ${placeName(key)}, which is not in the file`;
  return new FormatError('CPT_FORMAT_STORAGE_MISSING', `${file}: ${why}`, { file, field: key });
}

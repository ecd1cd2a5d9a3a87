import {
  type ByteSource,
  bytesPerElement,
  elementCount,
  FormatError,
  sliceSource,
  UnsupportedError,
} from '@pai-cpt/core';
import { isLegacyTorch } from './magic.ts';
import { walkGraph } from './pickle-graph.ts';
import type { PickleStorage, PickleValue, TorchTensor } from './pickle-values.ts';
import { storageFromId } from './torch-tensors.ts';
import { unpickle } from './unpickle.ts';
import {
  checkEntryCrc,
  entrySource,
  readEntry,
  readZipDirectory,
  type ZipDirectory,
  type ZipEntry,
} from './zip-read.ts';

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
  /** The whole storage `data/<key>`. */
  storageSource(key: string): ByteSource;
  /**
   * Reads everything against the checksums of the zip.
   * @returns false when the file has none to compare with.
   * @throws FormatError `CPT_ZIP_CRC`.
   */
  verifyChecksums(signal?: AbortSignal): Promise<boolean>;
}

/** The pickle of a rank file of a 72B model has some hundred KB. */
const MAX_PICKLE_BYTES = 256 * 1024 * 1024;

/**
 * Opens a file that torch.save wrote (torch 1.6 and later). Reads the directory of the zip, its local headers, `data.pkl` and
 * `byteorder`; no code of the file is run, and no byte of a tensor is read.
 * @throws FormatError the `CPT_ZIP_` and `CPT_PICKLE_` codes; `CPT_FORMAT_TORCH_LAYOUT`; with the tensor's path
 *   `CPT_FORMAT_STORAGE_MISSING`, `CPT_FORMAT_STORAGE_SIZE`, `CPT_FORMAT_STORAGE_BOUNDS`.
 * @throws UnsupportedError `CPT_UNSUPPORTED_TORCH_LEGACY`, `CPT_UNSUPPORTED_TORCHSCRIPT`.
 */
export async function openTorchFile(source: ByteSource, file: string, signal?: AbortSignal): Promise<TorchFile> {
  if (isLegacyTorch(await source.read(0, Math.min(16, source.byteLength), signal))) {
    const why = 'it is in the form of torch before 1.6; load it with torch and save it again';
    throw new UnsupportedError('CPT_UNSUPPORTED_TORCH_LEGACY', `${file}: ${why}`, {
      file,
      feature: 'legacy torch file',
    });
  }
  const directory = await readZipDirectory(source, file, signal);
  const folder = rootFolder(directory, file);
  const entry = (name: string) => directory.entries.get(`${folder}/${name}`);
  const pickle = entry('data.pkl') as ZipEntry;
  if (pickle.byteLength > MAX_PICKLE_BYTES) {
    const why = `its data.pkl has ${pickle.byteLength} bytes; the limit is ${MAX_PICKLE_BYTES}`;
    throw new FormatError('CPT_PICKLE_LIMIT', `${file}: ${why}`, { file });
  }
  const byteOrder = await readByteOrder(source, directory, entry('byteorder'), file, signal);
  const globals = new Set<string>();
  const storages = new Map<string, PickleStorage>();
  const root = unpickle(await readEntry(source, pickle, directory, file, signal), `${file} data.pkl`, {
    globals,
    persistentLoad(id, refuse) {
      const storage = storageFromId(id, refuse);
      const before = storages.get(storage.key) ?? storage;
      if (before.byteLength !== storage.byteLength) {
        const why = `storage ${storage.key} has ${before.byteLength} bytes in one place and ${storage.byteLength} in another`;
        throw refuse('CPT_PICKLE_TENSOR', why);
      }
      storages.set(storage.key, storage);
      return storage;
    },
  });
  const tensors = walkGraph(root, file);
  for (const [tensor, path] of tensors) {
    const storage = storages.get(tensor.storageKey) as PickleStorage;
    checkStorage(storage, entry(`data/${storage.key}`), `"${path}"`, file);
    checkBounds(tensor, path, file);
  }
  for (const storage of storages.values())
    checkStorage(storage, entry(`data/${storage.key}`), `storage ${storage.key}`, file);

  const storageSource = (key: string): ByteSource => {
    const data = entry(`data/${key}`);
    if (data) return entrySource(source, data, file);
    throw missing(key, 'a caller', file);
  };
  return {
    file,
    root,
    globals: [...globals],
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
    async verifyChecksums(abort) {
      if (!directory.hasChecksums) return false;
      for (const each of directory.entries.values()) await checkEntryCrc(source, each, file, abort);
      return true;
    },
  };
}

/** The one folder with a `data.pkl`: the stem of the name at the time of saving, or `archive`. */
function rootFolder({ entries }: ZipDirectory, file: string): string {
  const roots = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name)).map((name) => name.split('/')[0]);
  const [root] = roots;
  if (root === undefined || roots.length > 1) {
    const why = `${roots.length} of its ${entries.size} entries are a data.pkl in a folder of the first level; torch.save writes one`;
    throw new FormatError('CPT_FORMAT_TORCH_LAYOUT', `${file}: ${why}`, { file });
  }
  if (entries.has(`${root}/constants.pkl`)) {
    const why = 'it is a TorchScript archive, which is a program; save the state_dict of the model instead';
    throw new UnsupportedError('CPT_UNSUPPORTED_TORCHSCRIPT', `${file}: ${why}`, { file, feature: 'TorchScript' });
  }
  return root;
}

/** torch before 2.1 wrote no `byteorder`; such files are little-endian. */
async function readByteOrder(
  source: ByteSource,
  directory: ZipDirectory,
  entry: ZipEntry | undefined,
  file: string,
  signal?: AbortSignal,
): Promise<'little' | 'big'> {
  if (!entry) return 'little';
  const isLong = entry.byteLength > 'little'.length;
  const text = isLong ? '' : Buffer.from(await readEntry(source, entry, directory, file, signal)).toString('latin1');
  if (text === 'little' || text === 'big') return text;
  const why = `its byteorder is ${isLong ? `${entry.byteLength} bytes long` : `"${text}"`}; "little" or "big" is needed`;
  throw new FormatError('CPT_FORMAT_TORCH_LAYOUT', `${file}: ${why}`, { file, byteOffset: entry.byteOffset });
}

function checkStorage(storage: PickleStorage, entry: ZipEntry | undefined, what: string, file: string): void {
  if (!entry) throw missing(storage.key, what, file);
  if (entry.byteLength === storage.byteLength) return;
  const why = `${what}: data/${storage.key} has ${entry.byteLength} bytes, the pickle says ${storage.byteLength}`;
  throw new FormatError('CPT_FORMAT_STORAGE_SIZE', `${file}: ${why}; copy the file again`, {
    file,
    byteOffset: entry.byteOffset,
  });
}

/** Every element that shape and stride reach lies in the storage. */
function checkBounds(tensor: TorchTensor, path: string, file: string): void {
  const { storageKey, storageLength, storageOffset, shape, stride } = tensor;
  const end = storageOffset + reach(tensor);
  if (end <= storageLength) return;
  const view = `shape [${shape.join(', ')}], stride [${stride.join(', ')}], offset ${storageOffset}`;
  const why = `"${path}": ${view} reaches element ${end} of ${storageLength} in data/${storageKey}`;
  throw new FormatError('CPT_FORMAT_STORAGE_BOUNDS', `${file}: ${why}`, { file, field: path });
}

/** Elements from the first to the last that the tensor addresses, both included. */
function reach({ shape, stride }: TorchTensor): number {
  if (elementCount(shape) === 0) return 0;
  return shape.reduce((sum, size, axis) => sum + (size - 1) * (stride[axis] as number), 1);
}

function missing(key: string, what: string, file: string): FormatError {
  return new FormatError('CPT_FORMAT_STORAGE_MISSING', `${file}: ${what} needs data/${key}, which is not in the file`, {
    file,
    field: key,
  });
}

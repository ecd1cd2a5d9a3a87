// torch before 1.6, and `torch.save(…, _use_new_zipfile_serialization=False)`: five pickles, then the storages.
//
//   magic number │ 1001 │ {protocol_version, little_endian, type_sizes} │ the object │ ['key', …]
//   then for each key, in the order of that list:   int64 number of elements │ its elements
//
// A storage's length in bytes follows from its class, which only the pickle names, so the pickle is read before any offset is
// known.

import { type ByteSource, CptError, FormatError, UnsupportedError } from '@pai-cpt/core';
import { describeValue, getEntry, isTuple, type PickleStorage, type PickleValue } from './pickle-values.ts';
import { addStorage, assembleTorchFile, MAX_PICKLE_BYTES, type StoragePlace, type TorchFile } from './torch-file.ts';
import { storageFromId } from './torch-tensors.ts';
import { type GlobalAudit, type UnpickleOptions, unpickleFirst } from './unpickle.ts';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
/** Read at first; doubled for as long as the pickles go on. */
const FIRST_READ_BYTES = 1024 * 1024;

/** Opens a torch file that is no zip. `openTorchFile` tells the forms apart. */
export async function openLegacyTorchFile(source: ByteSource, file: string, signal?: AbortSignal): Promise<TorchFile> {
  const pickles = await readLegacyPickles(source, file, signal);
  const places = await locateStorages(source, file, pickles, signal);
  return assembleTorchFile({
    file,
    source,
    root: pickles.root,
    byteOrder: pickles.byteOrder,
    globals: pickles.globals,
    storages: pickles.storages,
    locate: (key) => places.get(key),
    placeName: (key) => `storage ${key}`,
    verifyChecksums: async () => false,
  });
}

interface Pickles {
  readonly root: PickleValue;
  readonly byteOrder: 'little' | 'big';
  readonly globals: ReadonlySet<string>;
  readonly storages: ReadonlyMap<string, PickleStorage>;
  /** Elements of each storage by its persistent id. */
  readonly elements: ReadonlyMap<string, number>;
  readonly keys: readonly string[];
  /** Bytes of all five pickles. */
  readonly byteLength: number;
}

/**
 * Nothing tells how long the pickles are, so a growing part of the file is read until they end in it. Each try has an auditor of
 * its own.
 */
export async function readLegacyPickles(
  source: ByteSource,
  file: string,
  signal: AbortSignal | undefined,
  startAudit?: () => GlobalAudit,
): Promise<Pickles> {
  for (let length = FIRST_READ_BYTES; ; length *= 2) {
    const bytes = await source.read(0, Math.min(length, source.byteLength), signal);
    try {
      return parsePickles(bytes, file, startAudit?.());
    } catch (error) {
      const isCut = CptError.isInstance(error) && error.code === 'CPT_PICKLE_TRUNCATED';
      if (!isCut || length >= source.byteLength) throw error;
    }
    if (length < MAX_PICKLE_BYTES) continue;
    throw new FormatError('CPT_PICKLE_LIMIT', `${file}: its pickles pass ${MAX_PICKLE_BYTES} bytes, the limit`, {
      file,
    });
  }
}

function parsePickles(bytes: Uint8Array, file: string, audit: GlobalAudit | undefined): Pickles {
  let byteLength = 0;
  const next = (what: string, options: UnpickleOptions = {}): PickleValue => {
    const label = `${file} ${what} (from byte ${byteLength})`;
    const first = unpickleFirst(bytes.subarray(byteLength), label, { ...options, ...(audit && { audit }) });
    byteLength += first.byteLength;
    return first.value;
  };
  const storages = new Map<string, PickleStorage>();
  const elements = new Map<string, number>();
  const globals = new Set<string>();
  const [magic, protocol, system] = [next('magic number'), next('protocol number'), next('system pickle')];
  if (magic !== MAGIC || protocol !== PROTOCOL) {
    const why = `it begins with ${describeValue(magic)} and protocol ${describeValue(protocol)}, not ${MAGIC} and ${PROTOCOL}`;
    throw layout(file, why);
  }
  const isLittle = getEntry(system, 'little_endian');
  if (typeof isLittle !== 'boolean') throw layout(file, `its "little_endian" is ${describeValue(isLittle)}`);
  const root = next('object pickle', {
    globals,
    persistentLoad(id, refuse) {
      const [view] = isTuple(id) && id.length === 6 ? id.slice(5) : [];
      if (view !== undefined && view !== null) throw storageView(file);
      const storage = storageFromId(
        isTuple(id) && view === null ? (Object.freeze(id.slice(0, 5)) as PickleValue[]) : id,
        refuse,
      );
      addStorage(storages, storage, refuse);
      elements.set(storage.key, (id as PickleValue[])[4] as number);
      return storage;
    },
  });
  const keys = next('list of storages');
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string')) {
    throw layout(file, `behind its object is ${describeValue(keys)}; the list of storage keys is needed`);
  }
  return { root, byteOrder: isLittle ? 'little' : 'big', globals, storages, elements, keys, byteLength };
}

/** Walks over the storages: each is named once, has the number of elements that the pickle says, and the last ends the file. */
async function locateStorages(
  source: ByteSource,
  file: string,
  pickles: Pickles,
  signal: AbortSignal | undefined,
): Promise<Map<string, StoragePlace>> {
  const places = new Map<string, StoragePlace>();
  let at = pickles.byteLength;
  for (const key of pickles.keys) {
    const storage = pickles.storages.get(key);
    const wanted = pickles.elements.get(key);
    if (!storage || places.has(key)) {
      throw layout(file, `its list of storages names ${key} ${storage ? 'twice' : 'that no tensor uses'}`);
    }
    const header = await source.read(at, Math.min(8, source.byteLength - at), signal);
    const byteOffset = at + 8;
    if (byteOffset + storage.byteLength > source.byteLength) {
      const why = `storage ${key} needs bytes ${at} to ${byteOffset + storage.byteLength}, the file has ${source.byteLength}`;
      throw new FormatError('CPT_FORMAT_TRUNCATED', `${file}: ${why}; copy it again`, { file, byteOffset: at });
    }
    const view = new DataView(header.buffer, header.byteOffset, 8);
    const counted = view.getBigInt64(0, pickles.byteOrder === 'little');
    if (counted !== BigInt(wanted ?? 0)) {
      const why = `storage ${key} begins with ${counted} elements, the pickle says ${wanted}`;
      throw new FormatError('CPT_FORMAT_STORAGE_SIZE', `${file}: ${why}; copy the file again`, {
        file,
        byteOffset: at,
      });
    }
    places.set(key, { byteOffset, byteLength: storage.byteLength });
    at = byteOffset + storage.byteLength;
  }
  if (at === source.byteLength) return places;
  throw layout(file, `${source.byteLength - at} bytes follow its last storage`, at);
}

function storageView(file: string): UnsupportedError {
  const why =
    'a tensor is a view of a storage view, which torch before 0.4 wrote; load it with torch and save it again';
  return new UnsupportedError('CPT_UNSUPPORTED_TORCH_LEGACY', `${file}: ${why}`, { file, feature: 'storage views' });
}

function layout(file: string, why: string, byteOffset?: number): FormatError {
  const details = { file, ...(byteOffset !== undefined && { byteOffset }) };
  return new FormatError('CPT_FORMAT_TORCH_LAYOUT', `${file}: ${why}`, details);
}

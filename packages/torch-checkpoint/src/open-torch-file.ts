import { type ByteSource, FormatError, UnsupportedError } from '@pai-cpt/core';
import { openLegacyTorchFile } from './legacy-torch-file.ts';
import { isLegacyTorch } from './magic.ts';
import type { PickleStorage } from './pickle-values.ts';
import { addStorage, assembleTorchFile, requirePickleSize, type TorchFile } from './torch-file.ts';
import { storageFromId } from './torch-tensors.ts';
import { unpickle } from './unpickle.ts';
import { checkEntryCrc, readEntry, readZipDirectory, type ZipDirectory, type ZipEntry } from './zip-read.ts';

/**
 * Opens a file that torch.save wrote. Of a zip (torch 1.6 and later) it reads the directory, the local headers, `data.pkl` and
 * `byteorder`; of the older form its pickles. No code of the file is run, and no byte of a tensor is read.
 * @throws FormatError the `CPT_ZIP_` and `CPT_PICKLE_` codes; `CPT_FORMAT_TORCH_LAYOUT`, `CPT_FORMAT_TRUNCATED`; with the
 *   tensor's path `CPT_FORMAT_STORAGE_MISSING`, `CPT_FORMAT_STORAGE_SIZE`, `CPT_FORMAT_STORAGE_BOUNDS`.
 * @throws UnsupportedError `CPT_UNSUPPORTED_TORCH_LEGACY`, `CPT_UNSUPPORTED_TORCHSCRIPT`.
 */
export async function openTorchFile(source: ByteSource, file: string, signal?: AbortSignal): Promise<TorchFile> {
  const start = await source.read(0, Math.min(16, source.byteLength), signal);
  return isLegacyTorch(start) ? openLegacyTorchFile(source, file, signal) : openZipTorchFile(source, file, signal);
}

async function openZipTorchFile(source: ByteSource, file: string, signal?: AbortSignal): Promise<TorchFile> {
  const directory = await readZipDirectory(source, file, signal);
  const folder = rootFolder(directory, file);
  const entry = (name: string) => directory.entries.get(`${folder}/${name}`);
  const pickle = entry('data.pkl') as ZipEntry;
  requirePickleSize(pickle.byteLength, file);
  const byteOrder = await readByteOrder(source, directory, entry('byteorder'), file, signal);
  const globals = new Set<string>();
  const storages = new Map<string, PickleStorage>();
  const root = unpickle(await readEntry(source, pickle, directory, file, signal), `${file} data.pkl`, {
    globals,
    persistentLoad(id, refuse) {
      const storage = storageFromId(id, refuse);
      addStorage(storages, storage, refuse);
      return storage;
    },
  });
  const placeName = (key: string) => `data/${key}`;
  return assembleTorchFile({
    file,
    root,
    byteOrder,
    source,
    globals,
    storages,
    placeName,
    locate: (key) => entry(placeName(key)),
    async verifyChecksums(abort) {
      if (!directory.hasChecksums) return false;
      for (const each of directory.entries.values()) await checkEntryCrc(source, each, file, abort);
      return true;
    },
  });
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

import { crc32 } from 'node:zlib';
import { type ByteSource, FormatError, sliceSource } from '@pai-cpt/core';
import { type DirectoryPlace, locateDirectory } from './zip-end.ts';
import {
  badZip,
  CENTRAL_BYTES,
  CENTRAL_SIGNATURE,
  FLAG_DESCRIPTOR,
  FLAGS_ENCRYPTED,
  LOCAL_BYTES,
  LOCAL_SIGNATURE,
  number64,
  UINT32_MAX,
  viewOf,
  ZIP64_EXTRA,
} from './zip-format.ts';

/** One stored entry; offsets and lengths are bytes of the file. */
export interface ZipEntry {
  readonly name: string;
  /** Where its data begin, after the local header. */
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly crc: number;
}

export interface ZipDirectory {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** False when every CRC is 0: torch can be told to leave them out (`torch.serialization.set_crc32_options`). */
  readonly hasChecksums: boolean;
}

/** An entry as the directory describes it, before its local header was seen. */
interface CentralEntry {
  readonly name: string;
  readonly flags: number;
  readonly crc: number;
  readonly byteLength: number;
  readonly headerOffset: number;
}

const LOCAL_READS_AT_ONCE = 16;
/** With or without signature, sizes of 4 or of 8 bytes. */
const DESCRIPTOR_LENGTHS = [12, 16, 20, 24];

/**
 * The entries of a zip file whose every byte is accounted for: stored, unencrypted, uniquely and safely named, local headers
 * equal to the directory, nothing before, between or after them. Reads the directory and the local headers, no data.
 * @throws FormatError one `CPT_ZIP_` code per cause.
 */
export async function readZipDirectory(source: ByteSource, file: string, signal?: AbortSignal): Promise<ZipDirectory> {
  const place = await locateDirectory(source, file, signal);
  const central = parseDirectory(await source.read(place.offset, place.length, signal), place, file);
  const entries = new Map<string, ZipEntry>();
  const spans: EntrySpan[] = [];
  for (let i = 0; i < central.length; i += LOCAL_READS_AT_ONCE) {
    const batch = central.slice(i, i + LOCAL_READS_AT_ONCE);
    spans.push(
      ...(await Promise.all(batch.map((entry) => readLocalHeader(source, entry, place.offset, file, signal)))),
    );
  }
  checkLayout(spans, place.offset, file);
  for (const { entry, byteOffset } of spans) {
    const { name, byteLength, crc } = entry;
    entries.set(name, { name, byteOffset, byteLength, crc });
  }
  const hasChecksums = central.some(({ crc }) => crc !== 0);
  return { entries, hasChecksums };
}

/** The data of an entry, addressed from 0. */
export function entrySource(source: ByteSource, entry: ZipEntry, file: string): ByteSource {
  return sliceSource(source, entry.byteOffset, entry.byteLength, `${file} "${entry.name}"`);
}

/**
 * All data of a small entry, compared with its checksum where the file has them.
 * @throws FormatError `CPT_ZIP_CRC`.
 */
export async function readEntry(
  source: ByteSource,
  entry: ZipEntry,
  { hasChecksums }: ZipDirectory,
  file: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const bytes = await source.read(entry.byteOffset, entry.byteLength, signal);
  if (hasChecksums) compareCrc(crc32(bytes), entry, file);
  return bytes;
}

/**
 * Reads all data of an entry, a few MB at a time, against its checksum.
 * @throws FormatError `CPT_ZIP_CRC`. torch itself loads a file with a flipped bit without a word.
 */
export async function checkEntryCrc(
  source: ByteSource,
  entry: ZipEntry,
  file: string,
  signal?: AbortSignal,
): Promise<void> {
  const chunkBytes = 4 * 1024 * 1024;
  let crc = 0;
  for (let at = 0; at < entry.byteLength; at += chunkBytes) {
    const length = Math.min(chunkBytes, entry.byteLength - at);
    crc = crc32(await source.read(entry.byteOffset + at, length, signal), crc);
  }
  compareCrc(crc, entry, file);
}

function compareCrc(crc: number, entry: ZipEntry, file: string): void {
  if (crc === entry.crc) return;
  const why = `"${entry.name}" has checksum ${hex(crc)}, the directory says ${hex(entry.crc)}; copy the file again`;
  throw badZip('CPT_ZIP_CRC', file, why, entry.byteOffset);
}

function parseDirectory(bytes: Uint8Array, place: DirectoryPlace, file: string): CentralEntry[] {
  const view = viewOf(bytes);
  const names = new Set<string>();
  const entries: CentralEntry[] = [];
  let at = 0;
  for (let i = 0; i < place.count; i++) {
    const offset = place.offset + at;
    if (at + CENTRAL_BYTES > view.byteLength || view.getUint32(at, true) !== CENTRAL_SIGNATURE) {
      throw badZip('CPT_ZIP_DIRECTORY', file, `entry ${i + 1} of ${place.count} is not in its directory`, offset);
    }
    const nameEnd = at + CENTRAL_BYTES + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > view.byteLength) throw badZip('CPT_ZIP_DIRECTORY', file, `entry ${i + 1} passes its directory`, offset);
    const name = entryName(bytes.subarray(at + CENTRAL_BYTES, nameEnd), file, offset);
    if (names.has(name)) throw badZip('CPT_ZIP_DUPLICATE', file, `two entries are named "${name}"`, offset);
    names.add(name);
    entries.push(parseCentral(view, at, name, bytes.subarray(nameEnd, extraEnd), file, offset));
    at = next;
  }
  if (at !== view.byteLength) {
    const why = `its directory has ${view.byteLength} bytes, its ${place.count} entries fill ${at}`;
    throw badZip('CPT_ZIP_DIRECTORY', file, why, place.offset + at);
  }
  return entries;
}

function parseCentral(
  view: DataView,
  at: number,
  name: string,
  extra: Uint8Array,
  file: string,
  offset: number,
): CentralEntry {
  const flags = view.getUint16(at + 8, true);
  const method = view.getUint16(at + 10, true);
  if ((flags & FLAGS_ENCRYPTED) !== 0)
    throw badZip('CPT_ZIP_ENCRYPTED', file, `"${name}" is encrypted or patched`, offset);
  const isLink = ((view.getUint32(at + 38, true) >>> 16) & 0xf000) === 0xa000;
  if (isLink) throw badZip('CPT_ZIP_PATH', file, `"${name}" is a symbolic link`, offset);
  const fields = {
    size: view.getUint32(at + 24, true),
    packed: view.getUint32(at + 20, true),
    header: view.getUint32(at + 42, true),
  };
  const { size, packed, header } = resolveZip64(fields, extra, name, file, offset);
  if (method !== 0 || size !== packed) {
    const why = `"${name}" is compressed (method ${method}, ${packed} of ${size} bytes); torch.save stores. Save it again`;
    throw badZip('CPT_ZIP_COMPRESSED', file, why, offset);
  }
  return { name, flags, crc: view.getUint32(at + 16, true), byteLength: size, headerOffset: header };
}

interface SizeFields {
  readonly size: number;
  readonly packed: number;
  readonly header: number;
}

/** Takes the 64-bit values of exactly those fields that are all ones, in their fixed order. */
function resolveZip64(fields: SizeFields, extra: Uint8Array, name: string, file: string, offset: number): SizeFields {
  const wanted = Object.entries(fields).filter(([, value]) => value === UINT32_MAX);
  if (wanted.length === 0) return fields;
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= view.byteLength; ) {
    const [id, length] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    if (at + 4 + length > view.byteLength) break;
    if (id === ZIP64_EXTRA && length >= wanted.length * 8) {
      const values = wanted.map(([key], i) => [key, number64(view, at + 4 + 8 * i, file)]);
      return { ...fields, ...Object.fromEntries(values) } as SizeFields;
    }
    at += 4 + length;
  }
  throw badZip('CPT_ZIP_DIRECTORY', file, `"${name}" needs ZIP64 values and its extra field has none`, offset);
}

/** An entry with the bytes that it takes in the file, header and descriptor included. */
interface EntrySpan {
  readonly entry: CentralEntry;
  readonly byteOffset: number;
  readonly dataEnd: number;
}

async function readLocalHeader(
  source: ByteSource,
  entry: CentralEntry,
  limit: number,
  file: string,
  signal?: AbortSignal,
): Promise<EntrySpan> {
  const name = Buffer.from(entry.name, 'utf8');
  const at = entry.headerOffset;
  if (at + LOCAL_BYTES + name.byteLength > limit) {
    throw badZip(
      'CPT_ZIP_OUT_OF_RANGE',
      file,
      `"${entry.name}" is said to begin at ${at}, the data end at ${limit}`,
      at,
    );
  }
  const bytes = await source.read(at, LOCAL_BYTES + name.byteLength, signal);
  const view = viewOf(bytes);
  const [flags, method] = [view.getUint16(6, true), view.getUint16(8, true)];
  const [crc, packed, size] = [view.getUint32(14, true), view.getUint32(18, true), view.getUint32(22, true)];
  const hasDescriptor = (flags & FLAG_DESCRIPTOR) !== 0;
  const agreesWith = (value: number, truth: number) =>
    value === truth || (hasDescriptor && value === 0) || (value === UINT32_MAX && truth >= UINT32_MAX);
  const isSame =
    view.getUint32(0, true) === LOCAL_SIGNATURE &&
    view.getUint16(26, true) === name.byteLength &&
    name.equals(bytes.subarray(LOCAL_BYTES)) &&
    method === 0 &&
    flags === entry.flags &&
    (crc === entry.crc || (hasDescriptor && crc === 0)) &&
    agreesWith(packed, entry.byteLength) &&
    agreesWith(size, entry.byteLength);
  if (!isSame) {
    throw badZip(
      'CPT_ZIP_HEADER_MISMATCH',
      file,
      `the local header of "${entry.name}" is not as its directory says`,
      at,
    );
  }
  const byteOffset = at + LOCAL_BYTES + name.byteLength + view.getUint16(28, true);
  const dataEnd = byteOffset + entry.byteLength;
  if (dataEnd > limit) {
    throw badZip('CPT_ZIP_OUT_OF_RANGE', file, `"${entry.name}" ends at ${dataEnd}, the data end at ${limit}`, at);
  }
  return { entry, byteOffset, dataEnd };
}

/** Entries lie one behind the other from byte 0 to the directory; between two lies at most a data descriptor. */
function checkLayout(spans: EntrySpan[], directoryOffset: number, file: string): void {
  spans.sort((a, b) => a.entry.headerOffset - b.entry.headerOffset);
  let end = 0;
  let previous: CentralEntry | undefined;
  for (const next of [...spans, undefined]) {
    const begin = next ? next.entry.headerOffset : directoryOffset;
    if (begin < end) {
      const why = `"${previous?.name}" ends at ${end}, inside "${next?.entry.name}" which begins at ${begin}`;
      throw badZip('CPT_ZIP_OVERLAP', file, why, begin);
    }
    const hasDescriptor = previous !== undefined && (previous.flags & FLAG_DESCRIPTOR) !== 0;
    if (begin > end && !(hasDescriptor && DESCRIPTOR_LENGTHS.includes(begin - end))) {
      throw badZip('CPT_ZIP_FOREIGN_BYTES', file, `bytes ${end} to ${begin} belong to no entry`, end);
    }
    end = next?.dataEnd ?? begin;
    previous = next?.entry;
  }
}

function entryName(bytes: Uint8Array, file: string, offset: number): string {
  let name: string;
  try {
    name = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(
      'CPT_ZIP_PATH',
      `${file}: an entry name is not UTF-8`,
      { file, byteOffset: offset },
      { cause },
    );
  }
  const isSafe =
    name !== '' &&
    !/[\\\0]|^\/|^[A-Za-z]:/.test(name) &&
    !name.split('/').some((part) => part === '..' || part === '.');
  if (!isSafe)
    throw badZip('CPT_ZIP_PATH', file, `an entry is named ${JSON.stringify(name)}, which leaves its folder`, offset);
  return name;
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}

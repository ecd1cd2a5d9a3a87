import { crc32 } from 'node:zlib';
import { InvalidInputError } from '@pai-cpt/core';
import {
  CENTRAL_BYTES,
  CENTRAL_SIGNATURE,
  DESCRIPTOR_SIGNATURE,
  END_BYTES,
  END_SIGNATURE,
  END64_BYTES,
  END64_SIGNATURE,
  FLAG_DESCRIPTOR,
  FLAG_UTF8,
  LOCAL_BYTES,
  LOCAL_SIGNATURE,
  LOCATOR_BYTES,
  LOCATOR_SIGNATURE,
  PADDING_EXTRA,
  UINT16_MAX,
  UINT32_MAX,
  ZIP64_EXTRA,
} from './zip-format.ts';

/** Where a writer puts its bytes, in order; `write` resolves when the bytes may be reused. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** torch maps storages into memory, so each begins at a multiple of this. */
export const DATA_ALIGNMENT = 64;

interface WrittenEntry {
  readonly name: Uint8Array;
  readonly headerOffset: number;
  readonly byteLength: number;
  crc: number;
}

/**
 * Writes stored entries one after the other, as torch's own writer lays them out: data at multiples of 64, checksums after the
 * data, ZIP64 fields exactly where a size or an offset reaches 4 GiB. Nothing is seeked back, so any sink will do.
 */
export class StoredZipWriter {
  readonly #sink: ByteSink;
  readonly #entries: WrittenEntry[] = [];
  #offset = 0;
  #open: WrittenEntry | undefined;
  #remaining = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Begins an entry of exactly `byteLength` bytes; `write` them before the next one. */
  async begin(name: string, byteLength: number): Promise<void> {
    await this.#end();
    const entry = { name: new TextEncoder().encode(name), headerOffset: this.#offset, byteLength, crc: 0 };
    await this.#emit(localHeader(entry));
    this.#open = entry;
    this.#remaining = byteLength;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#open || bytes.byteLength > this.#remaining) {
      throw misuse(`${bytes.byteLength} bytes are written where ${this.#remaining} are missing`);
    }
    this.#remaining -= bytes.byteLength;
    this.#open.crc = crc32(bytes, this.#open.crc);
    await this.#emit(bytes);
  }

  async entry(name: string, bytes: Uint8Array): Promise<void> {
    await this.begin(name, bytes.byteLength);
    await this.write(bytes);
  }

  /** Writes the directory; the sink stays the caller's to close. */
  async finish(): Promise<void> {
    await this.#end();
    const offset = this.#offset;
    for (const entry of this.#entries) await this.#emit(centralHeader(entry));
    await this.#emit(endRecords(this.#entries.length, offset, this.#offset - offset));
  }

  async #end(): Promise<void> {
    const entry = this.#open;
    if (!entry) return;
    if (this.#remaining > 0) throw misuse(`an entry misses its last ${this.#remaining} bytes`);
    if (entry.byteLength > 0) await this.#emit(descriptor(entry));
    this.#entries.push(entry);
    this.#open = undefined;
  }

  async #emit(bytes: Uint8Array): Promise<void> {
    this.#offset += bytes.byteLength;
    await this.#sink.write(bytes);
  }
}

/** The bytes that a `StoredZipWriter` makes of these entries. */
export function storedZipLength(entries: readonly { readonly name: string; readonly byteLength: number }[]): number {
  let offset = 0;
  let directory = 0;
  for (const { name, byteLength } of entries) {
    const entry = { name: new TextEncoder().encode(name), headerOffset: offset, byteLength, crc: 0 };
    offset += localHeader(entry).byteLength + byteLength + (byteLength > 0 ? descriptor(entry).byteLength : 0);
    directory += centralHeader(entry).byteLength;
  }
  return offset + directory + END64_BYTES + LOCATOR_BYTES + END_BYTES;
}

function flagsOf(entry: WrittenEntry): number {
  return entry.byteLength > 0 ? FLAG_UTF8 | FLAG_DESCRIPTOR : FLAG_UTF8;
}

function zip64Values(entry: WrittenEntry): number[] {
  const sizes = entry.byteLength >= UINT32_MAX ? [entry.byteLength, entry.byteLength] : [];
  return entry.headerOffset >= UINT32_MAX ? [...sizes, entry.headerOffset] : sizes;
}

function zip64Extra(values: readonly number[]): Uint8Array {
  if (values.length === 0) return new Uint8Array();
  const view = new DataView(new ArrayBuffer(4 + 8 * values.length));
  view.setUint16(0, ZIP64_EXTRA, true);
  view.setUint16(2, 8 * values.length, true);
  values.forEach((value, i) => {
    view.setBigUint64(4 + 8 * i, BigInt(value), true);
  });
  return new Uint8Array(view.buffer);
}

/** Sizes and CRC stay 0, as torch leaves them; the ZIP64 extra stands here too because torch computes offsets with it. */
function localHeader(entry: WrittenEntry): Uint8Array {
  const zip64 = zip64Extra(zip64Values(entry));
  const paddingAt = LOCAL_BYTES + entry.name.byteLength + zip64.byteLength;
  const unpadded = entry.headerOffset + paddingAt + 4;
  const padding = (DATA_ALIGNMENT - (unpadded % DATA_ALIGNMENT)) % DATA_ALIGNMENT;
  const bytes = new Uint8Array(paddingAt + 4 + padding).fill(0x5a, paddingAt + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, LOCAL_SIGNATURE, true);
  view.setUint16(6, flagsOf(entry), true);
  view.setUint16(26, entry.name.byteLength, true);
  view.setUint16(28, zip64.byteLength + 4 + padding, true);
  bytes.set(entry.name, LOCAL_BYTES);
  bytes.set(zip64, LOCAL_BYTES + entry.name.byteLength);
  view.setUint16(paddingAt, PADDING_EXTRA, true);
  view.setUint16(paddingAt + 2, padding, true);
  return bytes;
}

/** 24 bytes wide where the entry has any ZIP64 value, 16 elsewhere: torch's reader counts on it to find the next entry. */
function descriptor(entry: WrittenEntry): Uint8Array {
  const isWide = zip64Values(entry).length > 0;
  const view = new DataView(new ArrayBuffer(isWide ? 24 : 16));
  view.setUint32(0, DESCRIPTOR_SIGNATURE, true);
  view.setUint32(4, entry.crc, true);
  if (isWide) {
    view.setBigUint64(8, BigInt(entry.byteLength), true);
    view.setBigUint64(16, BigInt(entry.byteLength), true);
  } else {
    view.setUint32(8, entry.byteLength, true);
    view.setUint32(12, entry.byteLength, true);
  }
  return new Uint8Array(view.buffer);
}

function centralHeader(entry: WrittenEntry): Uint8Array {
  const zip64 = zip64Extra(zip64Values(entry));
  const bytes = new Uint8Array(CENTRAL_BYTES + entry.name.byteLength + zip64.byteLength);
  const view = new DataView(bytes.buffer);
  const size = Math.min(entry.byteLength, UINT32_MAX);
  view.setUint32(0, CENTRAL_SIGNATURE, true);
  view.setUint16(8, flagsOf(entry), true);
  view.setUint32(16, entry.crc, true);
  view.setUint32(20, size, true);
  view.setUint32(24, size, true);
  view.setUint16(28, entry.name.byteLength, true);
  view.setUint16(30, zip64.byteLength, true);
  view.setUint32(42, Math.min(entry.headerOffset, UINT32_MAX), true);
  bytes.set(entry.name, CENTRAL_BYTES);
  bytes.set(zip64, CENTRAL_BYTES + entry.name.byteLength);
  return bytes;
}

/** The ZIP64 end record and its locator stand always, as torch writes them. */
function endRecords(count: number, offset: number, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(END64_BYTES + LOCATOR_BYTES + END_BYTES));
  view.setUint32(0, END64_SIGNATURE, true);
  view.setBigUint64(4, BigInt(END64_BYTES - 12), true);
  view.setUint16(12, 0x031e, true); // made by: Unix, version 3.0
  view.setUint16(14, 45, true); // needed: version 4.5, the first with ZIP64
  view.setBigUint64(24, BigInt(count), true);
  view.setBigUint64(32, BigInt(count), true);
  view.setBigUint64(40, BigInt(length), true);
  view.setBigUint64(48, BigInt(offset), true);
  view.setUint32(END64_BYTES, LOCATOR_SIGNATURE, true);
  view.setBigUint64(END64_BYTES + 8, BigInt(offset + length), true);
  view.setUint32(END64_BYTES + 16, 1, true);
  const end = END64_BYTES + LOCATOR_BYTES;
  view.setUint32(end, END_SIGNATURE, true);
  view.setUint16(end + 8, Math.min(count, UINT16_MAX), true);
  view.setUint16(end + 10, Math.min(count, UINT16_MAX), true);
  view.setUint32(end + 12, Math.min(length, UINT32_MAX), true);
  view.setUint32(end + 16, Math.min(offset, UINT32_MAX), true);
  return new Uint8Array(view.buffer);
}

function misuse(why: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `zip writer: ${why}`);
}

import { crc32 } from 'node:zlib';

/** A zip entry to be put together, true or false in any field; nothing of the writer is used. */
export interface EntryBytes {
  readonly name: string;
  readonly data?: Uint8Array | string;
  readonly method?: number;
  readonly flags?: number;
  readonly crc?: number;
  readonly packed?: number;
  readonly size?: number;
  readonly offset?: number;
  readonly mode?: number;
  /** Extra field in the directory. */
  readonly extra?: Uint8Array;
  readonly localName?: string;
  readonly localFlags?: number;
  readonly localMethod?: number;
  readonly localSize?: number;
  readonly localPacked?: number;
  readonly localCrc?: number;
}

export interface ZipBytes {
  readonly prepended?: Uint8Array | string;
  /** Whether offsets count from the start of the zip (a zip behind something) or of the file. */
  readonly offsetsFromZip?: boolean;
  readonly between?: string;
  readonly comment?: string;
  readonly trailing?: string;
  readonly disk?: number;
  readonly count?: number;
  /** Entries on this disk, where it is to differ from `count`. */
  readonly countHere?: number;
  readonly directoryLength?: number;
  readonly directoryOffset?: number;
  readonly zip64?: End64Bytes;
}

/** Fields of the ZIP64 end record; those left out are true. */
export interface End64Bytes {
  readonly count?: number;
  readonly countHere?: number;
  readonly length?: number;
  readonly offset?: number;
  readonly at?: number;
  readonly recordLength?: number;
}

export function zipOf(entries: readonly EntryBytes[], zip: ZipBytes = {}): Uint8Array {
  const parts: Buffer[] = [Buffer.from(zip.prepended ?? '')];
  const length = () => parts.reduce((sum, part) => sum + part.byteLength, 0);
  const base = zip.offsetsFromZip ? length() : 0;
  const directory: Buffer[] = [];
  for (const entry of entries) {
    directory.push(central(entry, length() - base));
    parts.push(local(entry), Buffer.from(entry.data ?? ''));
  }
  parts.push(Buffer.from(zip.between ?? ''));
  const offset = length() - base;
  parts.push(...directory);
  const size = length() - base - offset;
  if (zip.zip64) parts.push(...end64(entries.length, size, offset, length(), zip.zip64));
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(zip.disk ?? 0, 4);
  end.writeUInt16LE(zip.countHere ?? zip.count ?? entries.length, 8);
  end.writeUInt16LE(zip.count ?? entries.length, 10);
  end.writeUInt32LE(zip.directoryLength ?? size, 12);
  end.writeUInt32LE(zip.directoryOffset ?? offset, 16);
  end.writeUInt16LE(Buffer.byteLength(zip.comment ?? ''), 20);
  parts.push(end, Buffer.from(zip.comment ?? ''), Buffer.from(zip.trailing ?? ''));
  return new Uint8Array(Buffer.concat(parts));
}

function local(entry: EntryBytes): Buffer {
  const name = Buffer.from(entry.localName ?? entry.name, 'latin1');
  const data = Buffer.from(entry.data ?? '');
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(entry.localFlags ?? entry.flags ?? 0, 6);
  header.writeUInt16LE(entry.localMethod ?? entry.method ?? 0, 8);
  header.writeUInt32LE(entry.localCrc ?? entry.crc ?? crc32(data), 14);
  header.writeUInt32LE(entry.localPacked ?? entry.localSize ?? entry.packed ?? data.byteLength, 18);
  header.writeUInt32LE(entry.localSize ?? entry.size ?? data.byteLength, 22);
  header.writeUInt16LE(name.byteLength, 26);
  return Buffer.concat([header, name]);
}

function central(entry: EntryBytes, offset: number): Buffer {
  const name = Buffer.from(entry.name, 'latin1');
  const data = Buffer.from(entry.data ?? '');
  const extra = entry.extra ?? new Uint8Array();
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(entry.flags ?? 0, 8);
  header.writeUInt16LE(entry.method ?? 0, 10);
  header.writeUInt32LE(entry.crc ?? crc32(data), 16);
  header.writeUInt32LE(entry.packed ?? data.byteLength, 20);
  header.writeUInt32LE(entry.size ?? data.byteLength, 24);
  header.writeUInt16LE(name.byteLength, 28);
  header.writeUInt16LE(extra.byteLength, 30);
  header.writeUInt32LE(((entry.mode ?? 0) << 16) >>> 0, 38);
  header.writeUInt32LE(entry.offset ?? offset, 42);
  return Buffer.concat([header, name, extra]);
}

function end64(count: number, length: number, offset: number, at: number, lies: End64Bytes): Buffer[] {
  const end = Buffer.alloc(56);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(BigInt(lies.recordLength ?? 44), 4);
  end.writeBigUInt64LE(BigInt(lies.countHere ?? lies.count ?? count), 24);
  end.writeBigUInt64LE(BigInt(lies.count ?? count), 32);
  end.writeBigUInt64LE(BigInt(lies.length ?? length), 40);
  end.writeBigUInt64LE(BigInt(lies.offset ?? offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(lies.at ?? at), 8);
  locator.writeUInt32LE(1, 16);
  return [end, locator];
}

/** A ZIP64 extra field with these values. */
export function zip64Extra(...values: bigint[]): Uint8Array {
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, i) => {
    extra.writeBigUInt64LE(value, 4 + 8 * i);
  });
  return new Uint8Array(extra);
}

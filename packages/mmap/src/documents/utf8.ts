import { isUtf8 } from 'node:buffer';
import { FormatError } from '@pai-cpt/core';
import type { BadRecord } from './bad-record.ts';

/**
 * The text of UTF-8 bytes.
 * @param byteOffset where `bytes` begin in `file`.
 * @throws FormatError `CPT_FORMAT_UTF8` with the offset of the first wrong byte: a decoder alone says only that there is one, and
 * a lenient one puts U+FFFD into the training data.
 */
export function decodeUtf8(bytes: Uint8Array, file: string, byteOffset: number, line?: number): string {
  if (isUtf8(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const at = firstInvalidByte(bytes);
  const found = Buffer.from(bytes.subarray(at, at + 4)).toString('hex');
  const where = line === undefined ? `${file}:${byteOffset + at}` : `${file}:${line}:${byteOffset + at}`;
  throw new FormatError(
    'CPT_FORMAT_UTF8',
    `${where}: not UTF-8 (bytes ${found}); convert the file, for example with iconv`,
    {
      file,
      byteOffset: byteOffset + at,
      line,
    },
  );
}

/** How a file begins that is no text, and what to do about it. */
const OTHER_KINDS: readonly [number[], string][] = [
  [[0x1f, 0x8b], 'it begins as gzip does: give the file a name that ends in .gz, or unpack it'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'it begins as zstd does: give the file a name that ends in .zst, or unpack it'],
  [[0xff, 0xfe], 'it begins as UTF-16 does: convert the file, for example with iconv -f UTF-16'],
  [[0xfe, 0xff], 'it begins as UTF-16 does: convert the file, for example with iconv -f UTF-16'],
];

/** Where and why bytes are not UTF-8, as a bad record. `start`: where they begin in their batch. */
export function invalidUtf8(bytes: Uint8Array, start: number): Pick<BadRecord, 'reason' | 'byteOffset' | 'why'> {
  const at = firstInvalidByte(bytes);
  const found = Buffer.from(bytes.subarray(at, at + 4)).toString('hex');
  const advice = OTHER_KINDS.find(([magic]) => magic.every((byte, i) => bytes[i] === byte))?.[1];
  const why = `not UTF-8 (bytes ${found}); ${advice ?? 'convert the file, for example with iconv, or choose --on-invalid-utf8'}`;
  return { reason: 'utf8', byteOffset: start + at, why };
}

/** Index of the first byte of the first malformed character; the length when there is none. */
export function firstInvalidByte(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.byteLength) {
    const length = characterLength(bytes[at] as number);
    if (length === 0 || !isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
  return at;
}

function characterLength(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

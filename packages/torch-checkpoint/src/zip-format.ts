import { type ErrorCode, FormatError } from '@pai-cpt/core';

/*
 * The parts of a zip file that torch.save uses (PKWARE APPNOTE 6.3.10; pytorch caffe2/serialize/inline_container.cc and
 * miniz for the habits):
 *
 *   ┌ for each entry ───────────────────────────────────────────────┐
 *   │ local header: 30 bytes, name, extra ("FB" + padding to 64)    │  sizes and CRC are 0 here; flag bit 3 says so
 *   │ data, stored                                                  │
 *   │ descriptor: signature, CRC, two sizes of 4 (or 8) bytes each  │  absent for an empty entry
 *   └───────────────────────────────────────────────────────────────┘
 *   central directory: per entry 46 bytes, name, extra (ZIP64 values where a field is 0xFFFFFFFF)
 *   ZIP64 end record (56), its locator (20), end record (22), comment
 */

export const LOCAL_SIGNATURE = 0x04034b50;
export const CENTRAL_SIGNATURE = 0x02014b50;
export const DESCRIPTOR_SIGNATURE = 0x08074b50;
export const END_SIGNATURE = 0x06054b50;
export const END64_SIGNATURE = 0x06064b50;
export const LOCATOR_SIGNATURE = 0x07064b50;

export const LOCAL_BYTES = 30;
export const CENTRAL_BYTES = 46;
export const END_BYTES = 22;
export const END64_BYTES = 56;
export const LOCATOR_BYTES = 20;
export const MAX_COMMENT_BYTES = 0xffff;

/** A 32-bit field with this value has its true value in the ZIP64 extra. */
export const UINT32_MAX = 0xffffffff;
export const UINT16_MAX = 0xffff;
export const ZIP64_EXTRA = 0x0001;
/** "FB": torch's own extra, which only pads. */
export const PADDING_EXTRA = 0x4246;

export const FLAG_DESCRIPTOR = 0x0008;
export const FLAG_UTF8 = 0x0800;
/** Encrypted (0x1), patch data (0x20), strongly encrypted (0x40), masked headers (0x2000). */
export const FLAGS_ENCRYPTED = 0x2061;

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A 64-bit field as a number. */
export function number64(view: DataView, at: number, file: string): number {
  const value = view.getBigUint64(at, true);
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw badZip('CPT_ZIP_DIRECTORY', file, `a 64-bit field holds ${value}, past 2^53`);
}

/** The error of a zip file: the message begins with the file. */
export function badZip(code: ErrorCode, file: string, why: string, byteOffset?: number): FormatError {
  return new FormatError(code, `${file}: ${why}`, byteOffset === undefined ? { file } : { file, byteOffset });
}

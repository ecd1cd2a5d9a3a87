/*
 * A zstd file is frames one after another (RFC 8878, section 3.1):
 *
 *   magic 28 b5 2f fd │ descriptor │ window? │ dictionary? │ content size? │ block … block │ checksum?
 *   block             = 3 bytes: last (1 bit), type (2 bits), size (21 bits), then its content
 *   skippable frame   = magic 5? 2a 4d 18 │ size: u32 │ bytes to pass over
 */

/** What a frame says of itself before its first block. */
export interface FrameHeader {
  headerBytes: number;
  windowBytes: number;
  /** Bytes it unpacks to, where it says so. */
  contentBytes: number | undefined;
  hasChecksum: boolean;
  hasDictionary: boolean;
}

export const FRAME_MAGIC = 0xfd2fb528;
/** Longest header: magic, descriptor, window, dictionary id of 4 bytes, content size of 8. */
export const MAX_HEADER_BYTES = 18;

/** True for the magic number of a frame to pass over. */
export const isSkippable = (magic: number): boolean => (magic & 0xfffffff0) >>> 0 === 0x184d2a50;

/** Bytes of the header, known once magic and descriptor are there. */
export function headerLength(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  return 5 + (isSingleSegment ? 0 : 1) + dictionaryLength(descriptor) + contentSizeLength(descriptor);
}

const dictionaryLength = (descriptor: number): number => [0, 1, 2, 4][descriptor & 3] as number;
const contentSizeLength = (descriptor: number): number =>
  descriptor >> 6 === 0 ? (descriptor & 0x20 ? 1 : 0) : 1 << (descriptor >> 6);

/** A whole header, magic included. */
export function parseFrameHeader(bytes: Uint8Array): FrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeAt = 5 + (isSingleSegment ? 0 : 1) + dictionaryLength(descriptor);
  const contentBytes = {
    0: () => undefined,
    1: () => view.getUint8(sizeAt),
    2: () => view.getUint16(sizeAt, true) + 256,
    4: () => view.getUint32(sizeAt, true),
    8: () => Number(view.getBigUint64(sizeAt, true)),
  }[contentSizeLength(descriptor) as 0 | 1 | 2 | 4 | 8]();
  const base = isSingleSegment ? 0 : 2 ** (10 + (view.getUint8(5) >> 3));
  return {
    headerBytes: headerLength(descriptor),
    windowBytes: isSingleSegment ? (contentBytes as number) : base + (base / 8) * (view.getUint8(5) & 7),
    contentBytes,
    hasChecksum: (descriptor & 4) !== 0,
    hasDictionary:
      dictionaryLength(descriptor) > 0 &&
      bytes.subarray(sizeAt - dictionaryLength(descriptor), sizeAt).some((byte) => byte !== 0),
  };
}

/** Type, bytes in the file and place of a block. */
export function parseBlockHeader(bytes: Uint8Array): { isLast: boolean; isReserved: boolean; packedBytes: number } {
  const value = (bytes[0] as number) | ((bytes[1] as number) << 8) | ((bytes[2] as number) << 16);
  const type = (value >> 1) & 3;
  return { isLast: (value & 1) === 1, isReserved: type === 3, packedBytes: type === 1 ? 1 : value >> 3 };
}

import type { ByteSource, FormatError } from '@pai-cpt/core';
import { describeMagic } from './magic.ts';
import {
  badZip,
  CENTRAL_BYTES,
  END_BYTES,
  END_SIGNATURE,
  END64_BYTES,
  END64_SIGNATURE,
  LOCAL_SIGNATURE,
  LOCATOR_BYTES,
  LOCATOR_SIGNATURE,
  MAX_COMMENT_BYTES,
  number64,
  UINT16_MAX,
  UINT32_MAX,
  viewOf,
} from './zip-format.ts';

/** Where the directory of a zip lies, and of how many entries. */
export interface DirectoryPlace {
  readonly offset: number;
  readonly length: number;
  readonly count: number;
}

/** 64 MiB hold about 700,000 entries; a rank file of a 72B model has some thousand. */
const MAX_DIRECTORY_BYTES = 64 * 1024 * 1024;

/** Finds the end record, and with it the directory; proves that they and nothing else make the end of the file. */
export async function locateDirectory(source: ByteSource, file: string, signal?: AbortSignal): Promise<DirectoryPlace> {
  const start = await source.read(0, Math.min(512, source.byteLength), signal);
  const startView = viewOf(start);
  if (start.byteLength < 4 || ![LOCAL_SIGNATURE, END_SIGNATURE].includes(startView.getUint32(0, true))) {
    throw notAZip(start, source.byteLength, file);
  }
  const tailBytes = Math.min(source.byteLength, END_BYTES + MAX_COMMENT_BYTES + LOCATOR_BYTES + END64_BYTES);
  const tailOffset = source.byteLength - tailBytes;
  const tail = viewOf(await source.read(tailOffset, tailBytes, signal));
  const end = findEndRecord(tail, source.byteLength, file);
  const place = {
    count: tail.getUint16(end + 10, true),
    length: tail.getUint32(end + 12, true),
    offset: tail.getUint32(end + 16, true),
  };
  const disks = [tail.getUint16(end + 4, true), tail.getUint16(end + 6, true)];
  if (disks.some((disk) => disk !== 0 && disk !== UINT16_MAX)) {
    throw badZip('CPT_ZIP_DIRECTORY', file, 'it is one disk of a split archive', tailOffset + end);
  }
  const locator = end - LOCATOR_BYTES;
  const hasZip64 = locator >= 0 && tail.getUint32(locator, true) === LOCATOR_SIGNATURE;
  const truth = hasZip64 ? readEnd64(tail, tailOffset, locator, place, file) : place;
  const directoryEnd = tailOffset + (hasZip64 ? locator - END64_BYTES : end);
  checkPlace(truth, directoryEnd, tail.getUint16(end + 8, true), file);
  return truth;
}

/** Index in `tail` of the end record whose comment ends exactly with the file. */
function findEndRecord(tail: DataView, fileBytes: number, file: string): number {
  let foreign: number | undefined;
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END_SIGNATURE) continue;
    const end = at + END_BYTES + tail.getUint16(at + 20, true);
    if (end === tail.byteLength) return at;
    if (end < tail.byteLength) foreign ??= tail.byteLength - end;
  }
  if (foreign !== undefined) throw badZip('CPT_ZIP_FOREIGN_BYTES', file, `${foreign} bytes follow the end of the zip`);
  const why = `it begins as a zip but has no end record in its ${fileBytes} bytes: the file is truncated; copy it again`;
  throw badZip('CPT_ZIP_TRUNCATED', file, why, fileBytes);
}

/** The 64-bit values, which must agree with every 32-bit field that is not all ones. */
function readEnd64(
  tail: DataView,
  tailOffset: number,
  locator: number,
  place: DirectoryPlace,
  file: string,
): DirectoryPlace {
  const at = locator - END64_BYTES;
  const stated = number64(tail, locator + 8, file);
  if (at < 0 || stated !== tailOffset + at || tail.getUint32(at, true) !== END64_SIGNATURE) {
    const why = `its ZIP64 end record is said to be at ${stated}, it is not just before its locator`;
    throw badZip('CPT_ZIP_DIRECTORY', file, why, tailOffset + locator);
  }
  if (number64(tail, at + 4, file) !== END64_BYTES - 12) {
    throw badZip('CPT_ZIP_DIRECTORY', file, 'its ZIP64 end record has another length than 56', tailOffset + at);
  }
  const truth = {
    count: number64(tail, at + 32, file),
    length: number64(tail, at + 40, file),
    offset: number64(tail, at + 48, file),
  };
  const agrees =
    number64(tail, at + 24, file) === truth.count &&
    (place.count === UINT16_MAX || place.count === truth.count) &&
    (place.length === UINT32_MAX || place.length === truth.length) &&
    (place.offset === UINT32_MAX || place.offset === truth.offset);
  if (agrees) return truth;
  throw badZip('CPT_ZIP_DIRECTORY', file, 'its ZIP64 end record contradicts its end record', tailOffset + at);
}

function checkPlace(place: DirectoryPlace, directoryEnd: number, countHere: number, file: string): void {
  const { offset, length, count } = place;
  if (countHere !== count && countHere !== UINT16_MAX) {
    throw badZip('CPT_ZIP_DIRECTORY', file, `its end record counts ${countHere} and ${count} entries`, directoryEnd);
  }
  if (offset + length > directoryEnd) {
    const why = `its directory at ${offset} with ${length} bytes passes the end record at ${directoryEnd}`;
    throw badZip('CPT_ZIP_OUT_OF_RANGE', file, why, offset);
  }
  if (offset + length < directoryEnd) {
    const extra = directoryEnd - offset - length;
    const why = `${extra} bytes stand before the zip or between its directory and its end; it must begin at byte 0`;
    throw badZip('CPT_ZIP_FOREIGN_BYTES', file, why, offset + length);
  }
  if (length > MAX_DIRECTORY_BYTES || count * CENTRAL_BYTES > length) {
    const why = `its directory has ${length} bytes for ${count} entries; the limit is ${MAX_DIRECTORY_BYTES}`;
    throw badZip('CPT_ZIP_DIRECTORY', file, why, offset);
  }
}

function notAZip(start: Uint8Array, fileBytes: number, file: string): FormatError {
  if (fileBytes === 0) return badZip('CPT_ZIP_TRUNCATED', file, 'it is empty; copy it again', 0);
  const what = describeMagic(start);
  return badZip(
    'CPT_ZIP_NOT_A_ZIP',
    file,
    what ? `it is ${what}, not a torch.save file` : 'it is not a torch.save file',
    0,
  );
}

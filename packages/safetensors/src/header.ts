import {
  bytesPerElement,
  DTYPE_BYTES,
  type Dtype,
  type ErrorCode,
  elementCount,
  FormatError,
  InvalidInputError,
  isDtype,
  type Shape,
  tensorBytes,
} from '@pai-cpt/core';
import { type Json, type JsonObject, MAX_KEYS, parseStrictJson } from './strict-json.ts';

/*
 * A safetensors file (huggingface/safetensors@24b0b28, safetensors/src/tensor.rs):
 *
 *   0        8                        8 + N                             end of file
 *   ├────────┼────────────────────────┼──────────┬──────────┬───────────┤
 *   │ N, u64 │ JSON {name: {dtype,    │ tensor   │ tensor   │ …         │
 *   │ LE     │  shape, data_offsets}} │          │          │           │
 *   └────────┴────────────────────────┴──────────┴──────────┴───────────┘
 *     offsets count from 8 + N; the tensors cover everything after the header, without a hole and without an overlap
 */

/** A tensor to be written: all that its header entry needs. */
export interface TensorDeclaration {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: Shape;
}

/** A tensor in a file; offsets and lengths are bytes. */
export interface TensorInfo extends TensorDeclaration {
  /** From the start of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes. */
  readonly tensors: Map<string, TensorInfo>;
  readonly metadata: Record<string, string>;
}

/** The length field in front of the header. */
export const LENGTH_BYTES = 8;
/** The Rust reader's limit; a bigger header is refused before it is read. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Length of the JSON after the length field, once it is known to lie inside the file.
 * @throws FormatError `CPT_FORMAT_HEADER_TOO_SMALL`, `CPT_FORMAT_HEADER_TOO_LARGE`, `CPT_FORMAT_TRUNCATED`.
 */
export function parseHeaderLength(bytes: Uint8Array, fileBytes: number, file: string): number {
  if (bytes.byteLength < LENGTH_BYTES) {
    throw bad('CPT_FORMAT_HEADER_TOO_SMALL', file, `it has ${fileBytes} bytes; the header length alone needs 8`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length === 0n)
    throw bad('CPT_FORMAT_HEADER_TOO_SMALL', file, 'its header length is 0; it is no safetensors file');
  if (length > BigInt(MAX_HEADER_BYTES)) {
    const why = `its header length is ${length}, the limit is ${MAX_HEADER_BYTES}; it is no safetensors file, or damaged`;
    throw bad('CPT_FORMAT_HEADER_TOO_LARGE', file, why);
  }
  const end = LENGTH_BYTES + Number(length);
  if (end > fileBytes) {
    throw bad(
      'CPT_FORMAT_TRUNCATED',
      file,
      `its header ends at ${end}, the file has ${fileBytes} bytes; copy it again`,
    );
  }
  return Number(length);
}

/**
 * What a header says, proved: `headerBytes` start with the length field, `fileBytes` is the size of the whole file. After
 * this the spans need no second look: each equals shape × dtype, and together they cover the rest of the file exactly.
 * @throws FormatError one `CPT_FORMAT_` code per cause; the message names the tensor and the numbers compared.
 */
export function parseHeader(headerBytes: Uint8Array, fileBytes: number, file: string): SafetensorsHeader {
  const length = parseHeaderLength(headerBytes, fileBytes, file);
  const json = headerBytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
  if (json[0] !== 0x7b && json[0] !== 0xef) {
    throw bad('CPT_FORMAT_HEADER_JSON', file, `its header does not begin with "{"; it is no safetensors file`);
  }
  const header = asObject(parseStrictJson(json, file), file, 'the header');
  const dataStart = LENGTH_BYTES + length;
  const metadata = parseMetadata(header.get('__metadata__'), file);
  header.delete('__metadata__');
  const entries = [...header].map(([name, entry]) =>
    parseTensor(name, asObject(entry, file, `"${name}"`), dataStart, file),
  );
  return { tensors: orderSpans(entries, dataStart, fileBytes, file), metadata };
}

/** Sorts by offset and proves that the spans follow each other without hole or overlap up to the end of the file. */
function orderSpans(
  tensors: TensorInfo[],
  dataStart: number,
  fileBytes: number,
  file: string,
): Map<string, TensorInfo> {
  tensors.sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  const ordered = new Map<string, TensorInfo>();
  let cursor = dataStart;
  let previous = 'the header';
  for (const tensor of tensors) {
    const [from, to] = [tensor.byteOffset - dataStart, cursor - dataStart];
    if (from < to) {
      throw bad(
        'CPT_FORMAT_SPAN_OVERLAP',
        file,
        `"${tensor.name}" begins at ${from}, inside ${previous} which ends at ${to}`,
      );
    }
    if (from > to) {
      throw bad('CPT_FORMAT_SPAN_HOLE', file, `"${tensor.name}" begins at ${from}, but ${previous} ends at ${to}`);
    }
    cursor += tensor.byteLength;
    previous = `"${tensor.name}"`;
    ordered.set(tensor.name, tensor);
  }
  if (cursor > fileBytes) {
    const why = `${previous} ends at byte ${cursor}, the file has ${fileBytes}; copy it again`;
    throw bad('CPT_FORMAT_TRUNCATED', file, why);
  }
  if (cursor < fileBytes) {
    throw bad('CPT_FORMAT_TRAILING_BYTES', file, `${previous} ends at byte ${cursor}, the file has ${fileBytes}`);
  }
  return ordered;
}

function parseTensor(name: string, entry: JsonObject, dataStart: number, file: string): TensorInfo {
  const dtype = entry.get('dtype');
  if (typeof dtype !== 'string') throw bad('CPT_FORMAT_HEADER_JSON', file, `"${name}" has no dtype`);
  if (!isDtype(dtype)) {
    const known = Object.keys(DTYPE_BYTES).join(', ');
    throw bad('CPT_FORMAT_UNKNOWN_DTYPE', file, `"${name}" has dtype ${JSON.stringify(dtype)}; known are ${known}`);
  }
  const shape = wholeNumbers(entry.get('shape'), 'CPT_FORMAT_SHAPE_MISMATCH', 'shape');
  const offsets = wholeNumbers(entry.get('data_offsets'), 'CPT_FORMAT_OFFSETS', 'data_offsets');
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length !== 2 || end < begin) {
    throw bad(
      'CPT_FORMAT_OFFSETS',
      file,
      `"${name}" has data_offsets [${offsets.join(', ')}]; two rising ones are needed`,
    );
  }
  const needed = shapeBytes(shape, dtype);
  if (end - begin !== needed) {
    const why = `"${name}" has ${end - begin} bytes (${begin} to ${end}); shape [${shape.join(', ')}] of ${dtype} needs ${needed}`;
    throw bad('CPT_FORMAT_SHAPE_MISMATCH', file, why);
  }
  return { name, dtype, shape, byteOffset: dataStart + begin, byteLength: needed };

  function wholeNumbers(value: Json | undefined, code: ErrorCode, field: string): number[] {
    if (!Array.isArray(value)) throw bad('CPT_FORMAT_HEADER_JSON', file, `"${name}" has no ${field}`);
    return value.map((size) => {
      if (typeof size === 'number') return size;
      const text = typeof size === 'object' && size !== null && 'raw' in size ? size.raw : 'something else';
      throw bad(code, file, `"${name}" has ${text} in its ${field}; whole numbers from 0 to 2^53 are needed`);
    });
  }

  function shapeBytes(sizes: number[], elements: Dtype): number {
    try {
      const bytes = tensorBytes(sizes, elements);
      if (Number.isSafeInteger(bytes)) return bytes;
    } catch (cause) {
      throw bad('CPT_FORMAT_SHAPE_MISMATCH', file, `"${name}": ${(cause as Error).message}`, cause);
    }
    throw bad('CPT_FORMAT_SHAPE_MISMATCH', file, `"${name}": shape [${sizes.join(', ')}] has more than 2^53 bytes`);
  }
}

function parseMetadata(value: Json | undefined, file: string): Record<string, string> {
  const metadata = Object.create(null) as Record<string, string>;
  if (value === undefined) return metadata;
  if (!(value instanceof Map)) throw bad('CPT_FORMAT_METADATA', file, '__metadata__ is not an object');
  for (const [key, text] of value) {
    if (typeof text !== 'string') throw bad('CPT_FORMAT_METADATA', file, `__metadata__ "${key}" is not a string`);
    metadata[key] = text;
  }
  return metadata;
}

/**
 * The length field and the JSON, padded with spaces to a multiple of 8 bytes so that the data starts aligned. `tensors` come
 * in file order; a tensor must begin at a multiple of its element size, because torch cannot view it in place otherwise
 * (put wider dtypes first: `assignShards` does).
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a misaligned tensor, a name given twice, or more than readers accept.
 */
export function serializeHeader(tensors: readonly TensorDeclaration[], metadata?: Record<string, string>): Uint8Array {
  if (tensors.length > MAX_KEYS) throw badInput(`${tensors.length} tensors; one file takes ${MAX_KEYS}`);
  const header = new Map<string, unknown>();
  if (metadata) header.set('__metadata__', metadata);
  let begin = 0;
  for (const { name, dtype, shape } of tensors) {
    if (name === '__metadata__' || header.has(name)) throw badInput(`the tensor name "${name}" is taken`);
    if (begin % bytesPerElement(dtype) !== 0) {
      const why = `"${name}" of ${dtype} would begin at ${begin}, no multiple of ${bytesPerElement(dtype)}`;
      throw badInput(`${why}; put wider dtypes first`);
    }
    const end = begin + tensorBytes(shape, dtype);
    header.set(name, { dtype, shape, data_offsets: [begin, end] });
    begin = end;
  }
  // Not JSON.stringify of one object: "__proto__" and names such as "7" would be lost or moved to the front.
  const json = `{${[...header].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const padded = Math.ceil(text.byteLength / 8) * 8;
  if (padded > MAX_HEADER_BYTES) throw badInput(`the header has ${padded} bytes; readers accept ${MAX_HEADER_BYTES}`);
  const bytes = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, LENGTH_BYTES);
  return bytes;
}

/** Bytes of all tensors together: the size of the data section. */
export function totalBytes(tensors: readonly TensorDeclaration[]): number {
  return tensors.reduce((sum, { shape, dtype }) => sum + elementCount(shape) * bytesPerElement(dtype), 0);
}

/** How the text of every Git LFS pointer begins (git-lfs, docs/spec.md); eight bytes tell it from any length field. */
const POINTER_START = 'version ';

/**
 * Refuses the few lines of text that a clone without Git LFS leaves in place of the data.
 * @throws FormatError `CPT_FORMAT_LFS_POINTER`.
 */
export function refuseLfsPointer(start: Uint8Array, file: string): void {
  if (Buffer.from(start).subarray(0, POINTER_START.length).toString('latin1') !== POINTER_START) return;
  throw new FormatError(
    'CPT_FORMAT_LFS_POINTER',
    `${file}: this is a Git LFS pointer, not the data; run "git lfs pull"`,
    {
      file,
    },
  );
}

/** The value as a JSON object; `what` names it in the message. */
export function asObject(value: Json, file: string, what: string): JsonObject {
  if (value instanceof Map) return value;
  throw bad('CPT_FORMAT_HEADER_JSON', file, `${what} is not a JSON object`);
}

function bad(code: ErrorCode, file: string, why: string, cause?: unknown): FormatError {
  return new FormatError(code, `${file}: ${why}`, { file }, { cause });
}

function badInput(why: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `safetensors header: ${why}`);
}

import { UnsupportedError } from './errors.ts';
import { narrowToHalves, widenHalves } from './half.ts';

/** Element types, spelled as safetensors spells them. */
export const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;

export type Dtype = keyof typeof DTYPE_BYTES;

/** True for a spelling in `DTYPE_BYTES`. */
export function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

/** Bytes of one element. */
export function bytesPerElement(dtype: Dtype): number {
  return DTYPE_BYTES[dtype];
}

/** Dtypes that convert into each other. */
const FLOATS: readonly Dtype[] = ['F32', 'BF16', 'F16'];

/**
 * Converts packed little-endian elements between F32, BF16 and F16. Equal dtypes return the input itself. To fewer bits it rounds to
 * nearest even; cutting the low half of a F32 instead is off by up to one unit in the last place and biased towards zero. A NaN
 * stays a NaN with its high payload bits (made quiet), never an infinity.
 * @throws UnsupportedError `CPT_UNSUPPORTED_CAST` for any other pair; InvalidInputError `CPT_INPUT_CAST_OVERFLOW` for a finite value
 *   past the range of F16.
 */
export function castDtype(bytes: Uint8Array, from: Dtype, to: Dtype): Uint8Array {
  if (from === to) return bytes;
  if (FLOATS.includes(from) && FLOATS.includes(to)) return fromF32(toF32(bytes, from), to);
  const known = FLOATS.join(', ');
  throw new UnsupportedError('CPT_UNSUPPORTED_CAST', `no conversion from ${from} to ${to}; known are ${known}`, {
    feature: `cast ${from} to ${to}`,
  });
}

function toF32(bytes: Uint8Array, from: Dtype): Uint8Array {
  if (from === 'BF16') return bf16ToF32(bytes);
  return from === 'F16' ? new Uint8Array(widenHalves(aligned16(bytes)).buffer) : bytes;
}

function fromF32(bytes: Uint8Array, to: Dtype): Uint8Array {
  if (to === 'BF16') return f32ToBf16(bytes);
  return to === 'F16' ? new Uint8Array(narrowToHalves(aligned32(bytes)).buffer) : bytes;
}

function bf16ToF32(bytes: Uint8Array): Uint8Array {
  const input = aligned16(bytes);
  const output = new Uint32Array(input.length);
  for (let i = 0; i < input.length; i++) output[i] = (input[i] as number) << 16;
  return new Uint8Array(output.buffer);
}

function f32ToBf16(bytes: Uint8Array): Uint8Array {
  const input = aligned32(bytes);
  const output = new Uint16Array(input.length);
  for (let i = 0; i < input.length; i++) {
    const bits = input[i] as number;
    const isNan = (bits & 0x7fffffff) > 0x7f800000;
    // Adding 0x7fff plus the lowest kept bit carries exactly when the value is past the middle, or on it and odd.
    output[i] = isNan ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(output.buffer);
}

/** A view on the same bytes, or on a copy where their offset is no multiple of the element size (`slice` of a Buffer copies nothing). */
function aligned16(bytes: Uint8Array): Uint16Array {
  const source = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint16Array(source.buffer, source.byteOffset, source.byteLength / 2);
}

function aligned32(bytes: Uint8Array): Uint32Array {
  const source = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(source.buffer, source.byteOffset, source.byteLength / 4);
}

import { UnsupportedError } from './errors.ts';

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

/**
 * Converts packed little-endian elements. Equal dtypes return the input itself; BF16 and F32 convert both ways.
 * F32 → BF16 rounds to nearest even; cutting the low half instead is off by up to one unit in the last place and biased
 * towards zero. A NaN stays a NaN with its high payload bits (made quiet), never an infinity.
 * @throws UnsupportedError `CPT_UNSUPPORTED_CAST` for any other pair.
 */
export function castDtype(bytes: Uint8Array, from: Dtype, to: Dtype): Uint8Array {
  if (from === to) return bytes;
  if (from === 'BF16' && to === 'F32') return bf16ToF32(bytes);
  if (from === 'F32' && to === 'BF16') return f32ToBf16(bytes);
  throw new UnsupportedError('CPT_UNSUPPORTED_CAST', `no conversion from ${from} to ${to}; use F32 or BF16`, {
    feature: `cast ${from} to ${to}`,
  });
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

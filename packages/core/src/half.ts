import { InvalidInputError } from './errors.ts';

/**
 * The float32 bits of every float16, 1 sign, 5 exponent and 10 fraction bits; a NaN keeps its payload. Made at the first use.
 */
let widened: Uint32Array | undefined;

/** The bits of float16 values as float32; all are exact. */
export function widenHalves(halves: Uint16Array): Uint32Array {
  widened ??= Uint32Array.from({ length: 0x10000 }, (_, half) => widenHalf(half));
  const table = widened;
  const output = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) output[i] = table[halves[i] as number] as number;
  return output;
}

function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return (sign | 0x7f800000 | (fraction << 13)) >>> 0;
  if (exponent > 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  if (fraction === 0) return sign >>> 0;
  const leading = 31 - Math.clz32(fraction); // subnormal: fraction · 2^-24
  return (sign | ((leading + 103) << 23) | ((fraction << (23 - leading)) & 0x7fffff)) >>> 0;
}

/** 65520, half way between the largest half and the next step: it rounds to infinity. */
const FIRST_TOO_LARGE = 0x477ff000;
const INFINITY = 0x7f800000;
const LEAST_NORMAL = 0x38800000;

/**
 * The bits of float32 values as float16, rounded to nearest even. Values below half of the least subnormal become zero; a NaN stays
 * one, with its high payload bits, made quiet.
 * @throws InvalidInputError `CPT_INPUT_CAST_OVERFLOW` for a finite value of 65520 and more: as an infinity it would make every
 *   result of the model one.
 */
export function narrowToHalves(floats: Uint32Array): Uint16Array {
  const output = new Uint16Array(floats.length);
  for (let i = 0; i < floats.length; i++) {
    const bits = floats[i] as number;
    const size = bits & 0x7fffffff;
    if (size >= FIRST_TOO_LARGE && size < INFINITY) throw overflow(bits);
    output[i] = ((bits >>> 16) & 0x8000) | narrowSize(size);
  }
  return output;
}

function narrowSize(size: number): number {
  if (size > INFINITY) return 0x7e00 | ((size >>> 13) & 0x3ff);
  if (size === INFINITY) return 0x7c00;
  if (size >= LEAST_NORMAL) {
    const rebased = size - 0x38000000;
    return (rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13;
  }
  const exponent = size >>> 23;
  if (exponent < 102) return 0;
  const shift = 126 - exponent;
  const digits = (size & 0x7fffff) | 0x800000;
  const kept = digits >>> shift;
  const lost = digits & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  return lost > middle || (lost === middle && (kept & 1) === 1) ? kept + 1 : kept;
}

function overflow(bits: number): InvalidInputError {
  const value = new Float32Array(Uint32Array.of(bits).buffer)[0];
  return new InvalidInputError(
    'CPT_INPUT_CAST_OVERFLOW',
    `the value ${value} does not fit F16, whose largest value is 65504; use BF16`,
  );
}

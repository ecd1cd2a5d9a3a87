import { InvalidInputError } from '@pai-cpt/core';

/**
 * What the header's dtype code means. There is no uint32: a vocabulary past 65535 is stored as int32. Megatron writes codes 8
 * and 4 only; the floats are in its table and hold no token ids.
 */
export const TOKEN_DTYPES = {
  uint8: { code: 1, bytes: 1, min: 0, max: 0xff },
  int8: { code: 2, bytes: 1, min: -0x80, max: 0x7f },
  int16: { code: 3, bytes: 2, min: -0x8000, max: 0x7fff },
  int32: { code: 4, bytes: 4, min: -0x80000000, max: 0x7fffffff },
  int64: { code: 5, bytes: 8, min: -0x80000000, max: 0x7fffffff },
  uint16: { code: 8, bytes: 2, min: 0, max: 0xffff },
} as const;

export type TokenDtype = keyof typeof TOKEN_DTYPES;

/** Codes of Megatron's table that hold no token ids. */
export const FLOAT_CODES: ReadonlyMap<number, string> = new Map([
  [6, 'float64'],
  [7, 'float32'],
]);

/** The integer dtype with this header code, or `undefined`. */
export function tokenDtypeOfCode(code: number): TokenDtype | undefined {
  return (Object.keys(TOKEN_DTYPES) as TokenDtype[]).find((dtype) => TOKEN_DTYPES[dtype].code === code);
}

/** The choices of a build: `auto` is Megatron's own rule, uint16 for a known vocabulary below 65500 and int32 otherwise. */
export const BUILD_DTYPES = ['auto', 'uint16', 'int32'] as const;

/**
 * The dtype to store ids of a vocabulary in.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for anything but `BUILD_DTYPES`.
 */
export function chooseDtype(wanted: string, vocabSize: number): TokenDtype {
  if (wanted === 'uint16' || wanted === 'int32') return wanted;
  if (wanted === 'auto') return vocabSize < 65500 ? 'uint16' : 'int32';
  throw new InvalidInputError('CPT_INPUT_INVALID', `dtype "${wanted}" is unknown; use ${BUILD_DTYPES.join(', ')}`, {
    field: 'dtype',
  });
}

/**
 * Token ids as they lie in a `.bin` file → Int32Array of its own memory.
 * An int64 id outside 32 bits gives the index of that id instead: no vocabulary has it, and cutting it would be silent.
 */
export function decodeTokens(bytes: Uint8Array, dtype: TokenDtype): Int32Array | { outOfRange: number } {
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const own = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes); // slice() of a Buffer does not copy
  const { buffer, byteOffset } = own;
  const count = own.byteLength / width;
  if (dtype === 'uint16') return new Int32Array(new Uint16Array(buffer, byteOffset, count));
  if (dtype === 'int32') return new Int32Array(buffer, byteOffset, count).slice();
  if (dtype === 'uint8') return new Int32Array(new Uint8Array(buffer, byteOffset, count));
  if (dtype === 'int8') return new Int32Array(new Int8Array(buffer, byteOffset, count));
  if (dtype === 'int16') return new Int32Array(new Int16Array(buffer, byteOffset, count));
  const halves = new Int32Array(buffer, byteOffset, 2 * count);
  const ids = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const low = halves[2 * i] as number;
    if (halves[2 * i + 1] !== low >> 31) return { outOfRange: i };
    ids[i] = low;
  }
  return ids;
}

/** A function that lays ids into `buffer` from element `at` on; the ids must fit the dtype. */
export function tokenEncoder(buffer: ArrayBuffer, dtype: TokenDtype): (ids: Int32Array, at: number) => void {
  if (dtype === 'int64') {
    const halves = new Int32Array(buffer);
    return (ids, at) => {
      for (let i = 0; i < ids.length; i++) {
        const id = ids[i] as number;
        halves[2 * (at + i)] = id;
        halves[2 * (at + i) + 1] = id >> 31;
      }
    };
  }
  const views = { uint8: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array, uint16: Uint16Array };
  const view = new views[dtype](buffer);
  return (ids, at) => view.set(ids, at);
}

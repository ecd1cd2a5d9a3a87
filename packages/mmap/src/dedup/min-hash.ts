import { InvalidInputError } from '@pai-cpt/core';
import { createUnitReader, hashNgrams, mix32, simplify } from '../screen/units.ts';
import { writingOf } from '../screen/writing.ts';

export interface MinHashOptions {
  /** Groups of hashes; two texts are candidates when all hashes of one group agree. */
  bands: number;
  /** Hashes of a group. */
  rows: number;
  /** Neighbouring words, or characters where no space separates words, that make one shingle. */
  shingle: number;
}

/** 112 hashes; a pair of similarity 0.8 is found with probability 0.924. */
export const DEFAULT_MIN_HASH: MinHashOptions = { bands: 14, rows: 8, shingle: 5 };

/** Probability that two texts whose shingles have this Jaccard similarity agree in at least one band. */
export function detectionProbability(similarity: number, { bands, rows }: { bands: number; rows: number }): number {
  return 1 - (1 - similarity ** rows) ** bands;
}

/** The similarity around which pairs begin to be found: `(1/bands)^(1/rows)`. */
export function similarityThreshold({ bands, rows }: { bands: number; rows: number }): number {
  return (1 / bands) ** (1 / rows);
}

export interface MinHash {
  /**
   * `bands × rows` hashes of a text, each the least of its shingles under another function, or `undefined` for a text without
   * letters and digits. The share of equal hashes of two texts estimates the Jaccard similarity of their shingles. Overwritten
   * by the next call.
   */
  signature(text: string): Int32Array | undefined;
  /** A 64-bit key for each band of a signature, equal in two texts when that band is; bands never share keys. */
  bandKeys(signature: Int32Array): { high: Int32Array; low: Int32Array };
}

const SHINGLE_BASE = 0x2c1b3c6d;
const ROW_FACTOR = 0x297a2d39;
const SEED = 0x9e3779b9;

/**
 * The hash functions are `h -> (h ^ s_i) · a_i mod 2^32` with odd `a_i` over well mixed 32-bit shingles. Exact in `Math.imul`,
 * where the usual affine family mod 2^61 - 1 would need BigInt.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a count that is not a positive whole number.
 */
export function createMinHash(options: MinHashOptions = DEFAULT_MIN_HASH): MinHash {
  for (const field of ['bands', 'rows', 'shingle'] as const) checkPositive(field, options[field]);
  const { bands, rows, shingle } = options;
  const hashCount = bands * rows;
  const flips = seededNumbers(SEED, hashCount);
  const factors = seededNumbers(SEED + 1, hashCount).map((value) => value | 1);
  const readUnits = createUnitReader();
  let shingles = new Int32Array(1024);
  const signature = new Int32Array(hashCount);
  const keys = { high: new Int32Array(bands), low: new Int32Array(bands) };
  return {
    signature(text) {
      const simple = simplify(text);
      const units = readUnits(simple, writingOf(simple));
      if (units.count === 0) return undefined;
      if (units.count > shingles.length) shingles = new Int32Array(units.count * 2);
      // A text shorter than one shingle is one shingle.
      const count = hashNgrams(units, Math.min(shingle, units.count), SHINGLE_BASE, shingles);
      for (let i = 0; i < hashCount; i++)
        signature[i] = least(shingles, count, flips[i] as number, factors[i] as number);
      return signature;
    },
    bandKeys(from) {
      for (let band = 0; band < bands; band++) {
        let high = Math.imul(band + 1, SEED);
        let low = ~high;
        for (let row = 0; row < rows; row++) {
          const value = from[band * rows + row] as number;
          high = mix32((high ^ value) | 0);
          low = mix32((Math.imul(low, ROW_FACTOR) + value) | 0);
        }
        keys.high[band] = high;
        keys.low[band] = low;
      }
      return keys;
    },
  };
}

function least(shingles: Int32Array, count: number, flip: number, factor: number): number {
  let minimum = 0x7fffffff;
  for (let i = 0; i < count; i++) {
    const hash = Math.imul((shingles[i] as number) ^ flip, factor);
    if (hash < minimum) minimum = hash;
  }
  return minimum;
}

/** The Jaccard similarity of the shingles of two texts, counted, not estimated. */
export function shingleSimilarity(one: string, other: string, shingle: number): number {
  const readUnits = createUnitReader();
  const shinglesOf = (text: string): Set<number> => {
    const simple = simplify(text);
    const units = readUnits(simple, writingOf(simple));
    const hashes = new Int32Array(units.count);
    return new Set(hashes.subarray(0, hashNgrams(units, Math.min(shingle, units.count), SHINGLE_BASE, hashes)));
  };
  const a = shinglesOf(one);
  const b = shinglesOf(other);
  let shared = 0;
  for (const hash of a) if (b.has(hash)) shared++;
  const all = a.size + b.size - shared;
  return all === 0 ? 0 : shared / all;
}

/** Numbers that are the same on every machine: a counter, mixed. */
function seededNumbers(seed: number, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => mix32(mix32(seed) + Math.imul(i + 1, 0x6d2b79f5)));
}

function checkPositive(field: string, value: number): void {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw new InvalidInputError('CPT_INPUT_INVALID', `${field} is ${value}; give a whole number above 0`, { field });
}

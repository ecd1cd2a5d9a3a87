import { expect, test } from 'vitest';
import { corpusSpan, qualityFixture } from '../../test/quality-fixture.ts';
import {
  createMinHash,
  DEFAULT_MIN_HASH,
  detectionProbability,
  shingleSimilarity,
  similarityThreshold,
} from './min-hash.ts';

const minHash = createMinHash();
const HASHES = 112;

function signatureOf(text: string): Int32Array {
  return Int32Array.from(minHash.signature(text) ?? []);
}

function equalShare(a: Int32Array, b: Int32Array): number {
  return a.filter((value, i) => value === b[i]).length / a.length;
}

function shareBand(a: Int32Array, b: Int32Array): boolean {
  return Array.from({ length: 14 }, (_, band) => band * 8).some((at) =>
    a.subarray(at, at + 8).every((value, i) => value === b[at + i]),
  );
}

/** Two texts of `size` different 1-word shingles together, of which they share `shared`; every word is used once. */
function createPairs() {
  const single = createMinHash({ ...DEFAULT_MIN_HASH, shingle: 1 });
  let used = 0;
  const words = (count: number) => Array.from({ length: count }, () => `w${used++}`);
  return (size: number, shared: number): [Int32Array, Int32Array] => {
    const common = words(shared);
    const half = (size - shared) / 2;
    const texts = [words(half), words(half)].map((own) => [...common, ...own].join(' '));
    return texts.map((text) => Int32Array.from(single.signature(text) ?? [])) as [Int32Array, Int32Array];
  };
}

test.each([
  [0.5, 0.0533],
  [0.7, 0.5645],
  [0.8, 0.9235],
  [0.9, 0.9996],
])('400 pairs of similarity %f: estimated without bias, found with probability %f', (similarity, probability) => {
  const pairs = 400;
  const createPair = createPairs();
  let sum = 0;
  let squares = 0;
  let found = 0;
  for (let i = 0; i < pairs; i++) {
    const [a, b] = createPair(120, 120 * similarity);
    const estimate = equalShare(a, b);
    sum += estimate;
    squares += (estimate - similarity) ** 2;
    if (shareBand(a, b)) found++;
  }
  const variance = (similarity * (1 - similarity)) / HASHES; // of one estimate, when the hashes are independent
  expect(Math.abs(sum / pairs - similarity)).toBeLessThan(3.5 * Math.sqrt(variance / pairs));
  expect(squares / pairs / variance).toBeGreaterThan(0.75); // 3.5 standard deviations of a variance over 400 values
  expect(squares / pairs / variance).toBeLessThan(1.25);
  const deviation = Math.sqrt((probability * (1 - probability)) / pairs);
  expect(Math.abs(found / pairs - probability)).toBeLessThan(3.5 * deviation);
  expect(detectionProbability(similarity, DEFAULT_MIN_HASH)).toBeCloseTo(probability, 4);
});

test('similarities are those counted in Python, and the signatures estimate them', () => {
  for (const { one, other, expected } of qualityFixture.similarities) {
    const texts = [corpusSpan(one), corpusSpan(other)] as const;
    expect(shingleSimilarity(...texts, 5)).toBeCloseTo(expected, 12);
    const estimate = equalShare(signatureOf(texts[0]), signatureOf(texts[1]));
    expect(Math.abs(estimate - expected)).toBeLessThanOrEqual(4 * Math.sqrt((expected * (1 - expected)) / HASHES));
  }
});

test('case, punctuation, spacing and width do not matter, words do', () => {
  const plain = signatureOf('The whale, the white whale: it is there!');
  expect(signatureOf(' the  WHALE the\nwhite whale – it is ｔｈｅｒｅ')).toEqual(plain);
  expect(equalShare(signatureOf('The whale, the white whale: it was there!'), plain)).toBeLessThan(0.5);
});

test('a text shorter than a shingle is one shingle; a text without letters has no signature', () => {
  expect(equalShare(signatureOf('white whale'), signatureOf('White whale.'))).toBe(1);
  expect(equalShare(signatureOf('white whale'), signatureOf('white'))).toBeLessThan(0.1);
  for (const text of ['', ' \n', '... !? —']) expect(minHash.signature(text)).toBeUndefined();
  expect(shingleSimilarity('', '', 5)).toBe(0);
});

test('a key is shared exactly when its band is', () => {
  const a = signatureOf('one two three four five six seven');
  const keysOf = (signature: Int32Array) => {
    const { high, low } = minHash.bandKeys(signature);
    return Array.from(high, (value, band) => `${value} ${low[band]}`);
  };
  const keys = keysOf(a);
  expect(new Set(keys).size).toBe(14);
  for (let i = 0; i < HASHES; i++) {
    const changed = a.slice();
    changed[i] = (changed[i] as number) + 1;
    expect(keysOf(changed).map((key, band) => key !== keys[band])).toEqual(keys.map((_, band) => band === i >> 3));
  }
  // The same hashes in two bands are still two keys.
  expect(new Set(keysOf(new Int32Array(HASHES))).size).toBe(14);
  // Neither half of a key alone tells what the whole does.
  const { high, low } = minHash.bandKeys(a);
  expect(new Set([...high, ...low]).size).toBe(28);
});

test('the threshold of 14 bands of 8 is 0.72', () => {
  expect(similarityThreshold(DEFAULT_MIN_HASH)).toBeCloseTo(0.719, 3);
});

test.each([['bands'], ['rows'], ['shingle']])('%s must be a whole number above 0', (field) => {
  for (const value of [0, -1, 1.5]) {
    expect(() => createMinHash({ ...DEFAULT_MIN_HASH, [field]: value })).toThrow(`${field} is ${value}`);
  }
});

import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { refusal, temporaryFolder } from '../../test/fixtures.ts';
import { type DuplicateOptions, findDuplicates } from './find-duplicates.ts';
import { temporaryRuns } from './node.ts';

const NFC = 'caf\u00e9';
const NFD = 'cafe\u0301';

async function firstsOf(texts: string[], options: DuplicateOptions = {}): Promise<number[]> {
  return [...(await findDuplicates(texts, options)).first];
}

test('exact: equal in NFC without white space at the ends, and nothing else', async () => {
  const found = await findDuplicates(['a b', NFC, 'a  b', `\n ${NFD}\t`, '', ' \n', 'A b', 'a b', 'caf\u00e9 ']);
  expect([...found.first]).toEqual([0, 1, 2, 1, 4, 5, 6, 0, 1]);
  expect(found).toMatchObject({
    documents: 9,
    empty: 2,
    duplicates: 3,
    clusters: 2,
    // UTF-8: 3 + 5 + 4 + 9 + 0 + 2 + 3 + 3 + 6, of which 9, 3 and 6 are saved.
    bytes: 35,
    savedBytes: 18,
  });
});

test('minhash: the same words in other dress are duplicates, also shorter than a shingle', async () => {
  const texts = ['The white whale swam.', '—', 'the WHITE whale  swam', 'the white whale', '...', 'The White Whale!'];
  const found = await findDuplicates(texts, { method: 'minhash' });
  expect([...found.first]).toEqual([0, 1, 0, 3, 4, 3]);
  expect(found).toMatchObject({ empty: 2, duplicates: 2, clusters: 2 });
});

/** Texts of 200 words in 400 groups of five, scattered; each has one word of its own, so two of a group share 186 of 206 shingles and more. */
function nearDuplicates(): { texts: string[]; first: number[] } {
  let state = 12345;
  const draw = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const groups = 400;
  const firstOfGroup = new Map<number, number>();
  const texts: string[] = [];
  const first: number[] = [];
  for (let i = 0; i < 5 * groups; i++) {
    const group = (i * 7919) % groups;
    const words = Array.from({ length: 200 }, (_, at) => `g${group}w${at}`);
    words[draw(200)] = `own${i}`;
    if (!firstOfGroup.has(group)) firstOfGroup.set(group, i);
    texts.push(words.join(' '));
    first.push(firstOfGroup.get(group) as number);
  }
  return { texts, first };
}

test('minhash: finds every group, the same with a thousand keys in memory as with all', async () => {
  const { texts, first } = nearDuplicates();
  const folder = temporaryFolder();
  let runs = 0;
  const storage = async () => {
    const opened = await temporaryRuns(folder);
    const append = (bytes: Uint8Array) => {
      runs++;
      return opened.append(bytes);
    };
    return { ...opened, append };
  };
  const small = await findDuplicates(texts, { method: 'minhash', sortKeys: 1000, storage });
  expect(runs).toBe(28); // 14 × 2,000 keys
  expect([...small.first]).toEqual(first);
  expect(small).toEqual(await findDuplicates(texts, { method: 'minhash' }));
  expect(small).toMatchObject({ documents: 2000, duplicates: 1600, clusters: 400 });
  expect(readdirSync(folder)).toEqual([]);
});

test('minhash: bands, rows and shingle reach the hashing', async () => {
  const texts = ['a b c d e f g h', 'a b c d e f g x', 'h g f e d c b a'];
  // One shingle of a word each: the third has the words of the first; two of three texts share 7 of 9 words.
  expect(await firstsOf(texts, { method: 'minhash', shingle: 1, bands: 1, rows: 64 })).toEqual([0, 1, 0]);
  expect(await firstsOf(texts, { method: 'minhash', shingle: 1, bands: 64, rows: 1 })).toEqual([0, 0, 0]);
  expect(await firstsOf(texts, { method: 'minhash', shingle: 8 })).toEqual([0, 1, 2]);
});

test('texts that agree only through a third are one group', async () => {
  const words = Array.from({ length: 100 }, (_, i) => `w${i}`);
  // Neighbours share 70 of 90 words, which is found with probability 0.95; the ends 60 of 100: 0.12.
  const texts = [0, 10, 20].map((from) => words.slice(from, from + 80).join(' '));
  const options = { method: 'minhash', shingle: 1, bands: 60, rows: 12 } as const;
  expect(await firstsOf([texts[0], texts[2]] as string[], options)).toEqual([0, 1]);
  expect(await firstsOf(texts, options)).toEqual([0, 0, 0]);
});

test('texts may come one by one, and an abort or an error ends it and cleans up', async () => {
  const folder = temporaryFolder();
  const texts = async function* () {
    for (let i = 0; i < 10; i++) yield `text number ${i % 5}`;
  };
  expect((await findDuplicates(texts())).duplicates).toBe(5);
  const reason = new Error('enough');
  await expect(findDuplicates(texts(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const failing = async function* () {
    yield* texts();
    throw reason;
  };
  const options = { method: 'minhash', sortKeys: 30, storage: () => temporaryRuns(folder) } as const;
  await expect(findDuplicates(failing(), options)).rejects.toBe(reason);
  expect(readdirSync(folder)).toEqual([]);
  expect((await refusal(findDuplicates([], { method: 'minhash', sortKeys: 0 }))).code).toBe('CPT_INPUT_INVALID');
});

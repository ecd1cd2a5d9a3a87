import fc from 'fast-check';
import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { KeySorter, type RunStorage } from './key-sorter.ts';

/** Runs in memory, and the sizes of all transfers. */
function memoryRuns() {
  const log = { opened: 0, closed: 0, largestAppend: 0, largestRead: 0, bytes: 0 };
  const storage = async (): Promise<RunStorage> => {
    log.opened++;
    let content = Buffer.alloc(0);
    return {
      async append(bytes) {
        content = Buffer.concat([content, bytes]);
        log.bytes = content.byteLength;
        log.largestAppend = Math.max(log.largestAppend, bytes.byteLength);
      },
      async readInto(into, byteOffset) {
        log.largestRead = Math.max(log.largestRead, into.byteLength);
        into.set(content.subarray(byteOffset, byteOffset + into.byteLength));
      },
      async close() {
        log.closed++;
      },
    };
  };
  return { storage, log };
}

type Key = readonly [high: number, low: number];

async function equalPairs(keys: readonly Key[], sortKeys: number, storage = memoryRuns().storage): Promise<string[]> {
  const sorter = new KeySorter(storage, sortKeys);
  for (const [document, [high, low]] of keys.entries()) {
    if (sorter.isFull) await sorter.spill();
    sorter.add(high, low, document);
  }
  const pairs: string[] = [];
  await sorter.forEachEqual((first, other) => pairs.push(`${first} ${other}`));
  await sorter.close();
  return pairs.sort();
}

const WORD = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000, 2 ** 31, 2 ** 32 - 1), fc.nat({ max: 2 ** 32 - 1 }));

test('finds exactly the equal keys, in one buffer or in many runs', async () => {
  const keys = fc.array(fc.tuple(WORD, WORD), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(keys, fc.constantFrom(8, 9, 16, 1000), async (list, sortKeys) => {
      const firsts = new Map<string, number>();
      const expected: string[] = [];
      for (const [i, key] of list.entries()) {
        const first = firsts.get(key.join()) ?? i;
        firsts.set(key.join(), first);
        if (first !== i) expected.push(`${first} ${i}`);
      }
      expect(await equalPairs(list, sortKeys)).toEqual(expected.sort());
    }),
    { numRuns: 40 },
  );
});

test('holds 24 bytes a key of the buffer, however many keys there are', async () => {
  const keys = Array.from({ length: 20_000 }, (_, i): Key => [Math.imul(i % 15_000, 0x9e3779b1) >>> 0, i % 15_000]);
  const { storage, log } = memoryRuns();
  const sorter = new KeySorter(storage, 1000);
  for (const [document, [high, low]] of keys.entries()) {
    if (sorter.isFull) await sorter.spill();
    sorter.add(high, low, document);
    if (sorter.byteLength !== 24_000) throw new Error(`${sorter.byteLength} bytes`);
  }
  let pairs = 0;
  await sorter.forEachEqual((first, other) => {
    pairs++;
    if (other !== first + 15_000) throw new Error(`${first} is not ${other}`);
  });
  await sorter.close();
  expect(pairs).toBe(5000);
  // The merge reads into the buffer that the sort has left, divided among 20 runs.
  expect(log).toEqual({ opened: 1, closed: 1, largestAppend: 12_000, largestRead: 600, bytes: 240_000 });
  expect(sorter.byteLength).toBe(12_000);
});

test('writes nothing when all keys fit', async () => {
  const { storage, log } = memoryRuns();
  expect(
    await equalPairs(
      [
        [1, 2],
        [3, 4],
        [1, 2],
      ],
      3,
      storage,
    ),
  ).toEqual(['0 2']);
  expect(log.opened).toBe(0);
});

test('more runs than the buffer has keys are refused, as is a buffer without keys', async () => {
  const keys = Array.from({ length: 10 }, (_, i): Key => [i, i]);
  expect((await refusal(equalPairs(keys, 3))).message).toBe(
    '4 sorted runs cannot be merged in a buffer of 3 keys; raise sortKeys',
  );
  for (const sortKeys of [0, -1, 1.5, Number.NaN, 2 ** 29]) {
    expect((await refusal(equalPairs([], sortKeys))).code).toBe('CPT_INPUT_INVALID');
  }
});

test('an abort ends the merge', async () => {
  const sorter = new KeySorter(memoryRuns().storage, 2);
  for (let i = 0; i < 4; i++) {
    if (sorter.isFull) await sorter.spill();
    sorter.add(i, i, i);
  }
  const reason = new Error('enough');
  await expect(sorter.forEachEqual(() => undefined, AbortSignal.abort(reason))).rejects.toBe(reason);
});

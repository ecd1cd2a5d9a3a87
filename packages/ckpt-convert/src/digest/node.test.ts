import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { type Digests, digestsHere } from './digests.ts';
import { digestsInThread, openDigests } from './node.ts';

const TILE = 1024;
const open: Digests[] = [];
afterEach(async () => {
  for (const digests of open.splice(0)) await digests.close();
});

function opened(digests: Digests): Digests {
  open.push(digests);
  return digests;
}

const sha256 = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

/** Bytes of which no two tiles are alike. */
const bytesOf = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, at) => (at * 7 + seed + (at >> 8)) & 255);

describe.each([
  ['in a thread', () => digestsInThread(TILE)],
  ['here', () => digestsHere('sha256')],
] as const)('digests %s', (_, make) => {
  it('are those of what was made in the tiles, however far one thread is ahead', async () => {
    const digests = opened(make());
    const parts = Array.from({ length: 50 }, (_, number) => bytesOf(1 + ((number * 331) % TILE), number));
    for (const part of parts) {
      const target = await digests.tile(part.byteLength);
      target.set(part);
      await digests.update('a', target);
    }
    expect(await digests.finish('a')).toBe(sha256(...parts));
  });

  it('take bytes from elsewhere, more than a tile of them, between tiles', async () => {
    const digests = opened(make());
    const [before, made, after] = [bytesOf(10, 1), bytesOf(TILE, 2), bytesOf(9 * TILE + 5, 3)] as const;
    await digests.update('a', before);
    const tile = await digests.tile(made.byteLength);
    tile.set(made);
    await digests.update('a', tile);
    await digests.update('a', after);
    after.fill(0); // the caller's own again
    expect(await digests.finish('a')).toBe(sha256(before, made, bytesOf(9 * TILE + 5, 3)));
  });

  it('tell files apart that are written at the same time', async () => {
    const digests = opened(make());
    for (const round of [1, 2, 3]) {
      for (const file of ['a', 'b']) await digests.update(file, bytesOf(700, round + file.charCodeAt(0)));
    }
    const expected = (file: string) => sha256(...[1, 2, 3].map((round) => bytesOf(700, round + file.charCodeAt(0))));
    expect([await digests.finish('a'), await digests.finish('b')]).toEqual([expected('a'), expected('b')]);
  });

  it('are those of nothing for an empty file', async () => {
    expect(await opened(make()).finish('a')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });
});

it('digests that nobody asked for are null', async () => {
  const digests = opened(openDigests('none', 1e12, TILE));
  await digests.update('a', bytesOf(10, 1));
  expect(await digests.finish('a')).toBeNull();
});

it('fails, and does not wait, once its thread is gone', async () => {
  const digests = digestsInThread(TILE);
  await digests.close();
  await expect(digests.finish('a')).rejects.toThrow('the digest thread ended');
  await expect(digests.tile(1)).rejects.toThrow('the digest thread ended');
});

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SOURCE_ARGV } from '../../../test/encoding.ts';
import { openDescriptors, refusal, temporaryFolder } from '../../../test/fixtures.ts';
import { LOCAL_FILES } from './build-files.ts';
import { startFilesThread } from './node.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test.each([
  ['here', () => LOCAL_FILES],
  ['in a thread', () => startFilesThread(SOURCE_ARGV)],
])('%s: bytes are written in order, from memory of both kinds, and go on where they were left', async (_, start) => {
  const files = start();
  const folder = temporaryFolder();
  const path = join(folder, 'set.bin');
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  shared.set([1, 2, 3, 4]);
  const bin = await files.openBin({ path, name: 'set', keptBytes: 0, keptSha256: '', bufferBytes: 3 });
  await bin.append(shared.subarray(1, 4));
  await bin.append(Uint8Array.of(9));
  shared.set([7, 8]);
  await bin.append(shared.subarray(0, 2));
  const expected = Uint8Array.of(2, 3, 4, 9, 7, 8);
  expect(await bin.digest()).toBe(sha256(expected));
  await bin.sync();
  await bin.close();
  expect(new Uint8Array(readFileSync(path))).toEqual(expected);

  const kept = { path, name: 'set', keptBytes: 4, keptSha256: sha256(expected.subarray(0, 4)) };
  const again = await files.openBin(kept);
  await again.append(Uint8Array.of(5));
  expect(await again.digest()).toBe(sha256(Uint8Array.of(2, 3, 4, 9, 5)));
  await again.close();
  expect((await refusal(files.openBin({ ...kept, keptSha256: 'other' }))).code).toBe('CPT_INPUT_RESUME_MISMATCH');
  await expect(files.openBin({ ...kept, path: join(folder, 'no/set.bin'), keptBytes: 0 })).rejects.toMatchObject({
    code: 'ENOENT',
  });
  expect(openDescriptors(folder)).toEqual([]);
  await files.close();
});

test.each([
  ['here', () => LOCAL_FILES],
  ['in a thread', () => startFilesThread(SOURCE_ARGV)],
])('%s: the digest of an input follows its readers', async (_, start) => {
  const files = start();
  const folder = temporaryFolder();
  const path = join(folder, 'input.jsonl');
  const content = Buffer.from('one\ntwo\nthree\n');
  writeFileSync(path, content);
  const digest = await files.follow(path, 4);
  digest.advance(8);
  expect(await digest.digest(content.length)).toBe(sha256(content.subarray(4)));
  digest.advance(1000);
  expect((await refusal(digest.digest(1000))).message).toContain('became shorter since the build began');
  await digest.close();
  expect((await refusal(files.follow(join(folder, 'none'), 0))).code).toBe('CPT_INPUT_FILE_MISSING');
  await files.close();
});

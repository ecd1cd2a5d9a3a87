import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { readAll, readInput, streamOf } from '../../test/streams.ts';
import { gunzipStream } from './gzip.ts';

const unpack = (packed: Uint8Array, chunkBytes = 64) => readAll(gunzipStream(streamOf(packed, chunkBytes), 'a.gz'));
const whole = readInput('two-members.jsonl.gz');

test('§7 gz of several members: all are read on, however they are cut', async () => {
  for (const chunkBytes of [1, 5, 100, 1e6]) expect(await unpack(whole, chunkBytes)).toEqual(readInput('lists.jsonl'));
});

test('zero bytes behind the last member are padding', async () => {
  expect(await unpack(Buffer.concat([whole, Buffer.alloc(100)]))).toEqual(readInput('lists.jsonl'));
});

test.each([1, 64, 1e6])(
  '§7 gz with foreign bytes behind a member is refused, not ended (reads of %i)',
  async (chunkBytes) => {
    const error = await refusal(unpack(Buffer.concat([whole, Buffer.from('\0more')]), chunkBytes));
    expect(error.code).toBe('CPT_FORMAT_COMPRESSED');
    expect(error.message).toContain(`a.gz:${whole.length}: bytes that are no gzip data follow`);
  },
);

test('§7 gz truncated: refused at every byte but the end of a member', async () => {
  const ends = [whole.length, whole.indexOf(Buffer.from([0x1f, 0x8b]), 2)];
  for (let length = 0; length < whole.length; length++) {
    if (ends.includes(length)) continue;
    const error = await refusal(unpack(whole.subarray(0, length)));
    expect(error.code).toBe('CPT_FORMAT_COMPRESSED');
    expect(error.message.startsWith(`a.gz:${length}: `)).toBe(true);
  }
});

test('§7 gz with a bad CRC: refused with the offset in the packed file', async () => {
  const first = gzipSync(randomBytes(200_000));
  const wrong = gzipSync('hello '.repeat(100));
  wrong[wrong.length - 5] = (wrong[wrong.length - 5] as number) ^ 1;
  const error = await refusal(unpack(Buffer.concat([first, wrong]), 1e6));
  expect(error.code).toBe('CPT_FORMAT_COMPRESSED');
  expect(error.message).toContain('incorrect data check');
  const offset = error.details.byteOffset as number;
  expect(offset).toBeLessThanOrEqual(first.length + wrong.length);
  expect(offset).toBeGreaterThan(first.length + wrong.length - 65536);
});

test('§7 gz bomb: unpacked piece by piece', async () => {
  const whole = gzipSync(Buffer.alloc(1 << 26)); // zeros: every packed byte stands for as many
  const packed = streamOf(whole, 4096);
  const stream = gunzipStream(packed, 'a.gz');
  const buffer = Buffer.alloc(1 << 16);
  let most = 0;
  let bytes = 0;
  for (let count = 1; count > 0; bytes += count) {
    count = await stream.read(buffer, 0);
    // How far what was taken in is ahead of what was given out. The memory in use would tell when rubbish is collected as well.
    most = Math.max(most, Math.min(1, (packed.reads * 4096) / whole.length) * (1 << 26) - bytes);
  }
  expect(bytes).toBe(1 << 26);
  expect(most).toBeLessThan(1 << 25);
  await stream.close();
});

test('closing early ends the work', async () => {
  const packed = streamOf(gzipSync(Buffer.alloc(1 << 26)), 512);
  const stream = gunzipStream(packed, 'a.gz');
  await stream.read(Buffer.alloc(10), 0);
  await stream.close();
  const { reads } = packed;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(packed.reads).toBe(reads);
});

test('what fails below is not called bad gzip', async () => {
  const failing = { read: async () => Promise.reject(new Error('the disk is gone')), close: async () => undefined };
  await expect(readAll(gunzipStream(failing, 'a.gz'))).rejects.toThrow('the disk is gone');
});

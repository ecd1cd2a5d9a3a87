import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { readAll, readInput, streamOf } from '../../test/streams.ts';
import { unzstdStream } from './zstd.ts';

const unpack = (packed: Uint8Array, chunkBytes = 64) => readAll(unzstdStream(streamOf(packed, chunkBytes), 'a.zst'));
const lists = readInput('lists.jsonl');

test.each([1, 17, 1e6])(
  '§7 zst of several frames: with and without checksum, and one to pass over, all are read on (reads of %i)',
  async (chunkBytes) => {
    expect(await unpack(readInput('two-frames.jsonl.zst'), chunkBytes)).toEqual(lists);
  },
);

test('a frame of several blocks', async () => {
  const plain = await unpack(readInput('blocks.jsonl.zst'), 1000);
  expect(plain.equals(Buffer.concat(Array(1200).fill(lists)))).toBe(true);
});

test('§7 zst with a bad checksum: refused with the offset in the packed file', async () => {
  const packed = readInput('wrong-checksum.jsonl.zst');
  const error = await refusal(unpack(packed));
  expect(error.code).toBe('CPT_FORMAT_COMPRESSED');
  expect(error.message).toMatch(new RegExp(`^a\\.zst:${packed.length}: not valid zstd .*checksum`));
});

test('§7 zst truncated: refused at every byte but the end of a frame', async () => {
  const packed = readInput('two-frames.jsonl.zst');
  const skippable = packed.indexOf(Buffer.from('532a4d18', 'hex'));
  const ends = [skippable, skippable + 13];
  for (let length = 0; length < packed.length; length++) {
    if (ends.includes(length)) continue;
    expect((await refusal(unpack(packed.subarray(0, length)))).code, String(length)).toBe('CPT_FORMAT_COMPRESSED');
  }
});

test('a changed byte is found, wherever it is', async () => {
  const packed = readInput('blocks.jsonl.zst');
  const plain = await unpack(packed);
  for (let at = 0; at < packed.length; at += at < 32 ? 1 : 5) {
    const changed = Buffer.from(packed);
    changed[at] = (packed[at] as number) ^ 0x10;
    const found = await unpack(changed).then(
      (bytes) => bytes.equals(plain),
      (error: { code?: string }) => /^CPT_(FORMAT_COMPRESSED|UNSUPPORTED_COMPRESSION)$/.test(error.code ?? ''),
    );
    expect(found, String(at)).toBe(true);
  }
});

test('foreign bytes are refused before and behind frames', async () => {
  expect((await refusal(unpack(Buffer.from('plain text')))).message).toBe(
    'a.zst:4: not valid zstd (byte of the packed file); copy it again',
  );
  const error = await refusal(unpack(Buffer.concat([readInput('two-frames.jsonl.zst'), Buffer.from('more')])));
  expect(error.message).toContain('bytes that are no zstd data follow the last frame');
});

test('a header that asks for much memory or a dictionary is refused before any is taken', async () => {
  const magic = [0x28, 0xb5, 0x2f, 0xfd];
  const window = await refusal(unpack(Buffer.from([...magic, 0x00, 0xf8, 1, 0, 0])));
  expect(window.code).toBe('CPT_UNSUPPORTED_COMPRESSION');
  expect(window.message).toContain('needs a window of 2199023255552 bytes');
  const dictionary = await refusal(unpack(Buffer.from([...magic, 0x01, 0x58, 7, 1, 0, 0])));
  expect(dictionary.message).toContain('needs the dictionary');
});

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { SOURCE_ARGV } from '../../test/encoding.ts';
import { CORPUS_FILES, filesIn, readFixture, refusal, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import { inputFile, readInput } from '../../test/streams.ts';
import { mergeDatasets } from '../arrange/merge.ts';
import { shuffleDataset } from '../arrange/shuffle.ts';
import { type BuildTuning, buildDataset } from '../build.ts';
import type { BuildOptions } from '../build-plan.ts';
import { openDataset, readSidecar } from '../node.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';

interface Expected {
  documents: number;
  sequences: number;
  tokens: number;
  sha256: { bin: string; idx: string };
}
/** What Python's tokenizers and struct give by Megatron's rules. */
const { lists, corpus } = readFixture('mmap/build.json') as { lists: Record<string, Expected>; corpus: Expected };

const output = () => join(temporaryFolder(), 'set');
const build = (options: Partial<BuildOptions> & { output: string }, tuning?: BuildTuning) =>
  buildDataset({ inputs: [inputFile('lists.jsonl')], tokenizer: TOKENIZER, ...options }, tuning);

function writeInput(name: string, content: string | Uint8Array): string {
  const file = join(temporaryFolder(), name);
  writeFileSync(file, content);
  return file;
}

/** The texts of all sequences, without the end of document. */
async function textsOf(prefix: string): Promise<string[]> {
  const tokenizer = await loadTokenizer(TOKENIZER);
  const dataset = await openDataset(prefix);
  const texts: string[] = [];
  for (let i = 0; i < dataset.sequenceCount; i++)
    texts.push(await tokenizer.decode((await dataset.get(i)).filter((id) => id !== 1000)));
  await dataset.close();
  return texts;
}

test.each(['lists.json', 'two-members.jsonl.gz', 'two-frames.jsonl.zst', 'lists.parquet'])(
  '%s becomes the bytes of the Python reference, as the plain file does',
  async (name) => {
    expect(await build({ inputs: [inputFile(name)], output: output() })).toMatchObject({
      ...lists.withEod,
      dropped: 3,
    });
  },
);

test('rows that are no text are rejects like lines', async () => {
  const prefix = output();
  const result = await build({ inputs: [inputFile('strings.parquet')], output: prefix, onBad: 'skip', maxBad: 0.2 });
  expect(result).toMatchObject({ ...lists.firstTexts, droppedByReason: { empty: 2, 'text-missing': 1 } });
  expect(JSON.parse(readFileSync(`${prefix}.rejects.jsonl`, 'utf8'))).toMatchObject({
    file: inputFile('strings.parquet'),
    line: 3,
    reason: 'text-missing',
  });
});

test('documents without text are kept on demand, as Megatron keeps them; the spelling of a token may stay text', async () => {
  expect(await build({ output: output(), keepEmpty: true })).toMatchObject({ ...lists.keepEmpty, dropped: 0 });
  const result = await build({ output: output(), specials: 'text' });
  expect(result).toMatchObject({ ...lists.specialsText, addedTokens: { count: 1, documents: 1 } });
  expect(result.warnings[0]).toContain('1 documents spell added tokens such as <|endoftext|> (1 in all), kept as text');
  expect((await readSidecar(result.prefix))?.options).toEqual({
    textKey: 'text',
    splitParagraphs: false,
    specials: 'text',
  });
  const error = await refusal(build({ output: output(), specials: 'error' }));
  expect(error.code).toBe('CPT_INPUT_ADDED_TOKEN');
  expect(error.message).toContain(`${inputFile('lists.jsonl')}:5:`);
});

test('a tokenizer that our own encoder does not cover goes the same way', async () => {
  const folder = temporaryFolder();
  const json = JSON.parse(readFileSync(join(TOKENIZER, 'tokenizer.json'), 'utf8'));
  json.model.byte_fallback = true;
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
  expect(await build({ output: output(), tokenizer: folder })).toMatchObject({
    ...lists.withEod,
    addedTokens: { count: 1 },
  });
});

test('threads and the size of batches change no byte', async () => {
  for (const [workers, batchBytes] of [
    [2, 50_000],
    [0, 40],
  ] as const) {
    const result = await build(
      { inputs: CORPUS_FILES, output: output(), workers },
      { batchBytes, execArgv: SOURCE_ARGV },
    );
    expect(result).toMatchObject({ ...corpus });
  }
});

test('a limit ends the build, and the input it ended in has no digest', async () => {
  const result = await build({ inputs: CORPUS_FILES, output: output(), limit: 5, heldOut: 0.5 }, { batchBytes: 2000 });
  expect(result.documents + (result.heldOut?.documents ?? 0)).toBe(5);
  const sidecar = await readSidecar(result.prefix);
  expect(sidecar?.inputs).toEqual([
    { path: CORPUS_FILES[0], bytes: readFileSync(CORPUS_FILES[0] as string).length, sha256: null },
  ]);
});

test('the parts, merged in order, are the single build byte for byte', async () => {
  const whole = [CORPUS_FILES[1] as string, inputFile('two-members.jsonl.gz'), ...CORPUS_FILES];
  const single = await build({ inputs: whole, output: output() });
  const folder = temporaryFolder();
  const prefixes: string[] = [];
  for (let index = 1; index <= 4; index++) {
    prefixes.push(join(folder, String(index)));
    await build({ inputs: whole, output: prefixes.at(-1) as string, part: { index, of: 4 } });
  }
  const merged = await mergeDatasets({ inputs: prefixes, output: join(folder, 'merged') });
  expect(merged).toMatchObject({ documents: single.documents, sha256: single.sha256 });
  const cut = (await Promise.all(prefixes.map(readSidecar))).flatMap(
    (sidecar) => sidecar?.inputs.filter(({ range }) => range) ?? [],
  );
  expect(cut.length).toBeGreaterThan(2);
  for (const { bytes, range } of cut) expect(range && range.to - range.from).toBe(bytes);
  expect((await readSidecar(prefixes[1] as string))?.options.part).toBe('2/4');
});

test('a bad line in a part is named by its line in the file', async () => {
  const file = writeInput('a.jsonl', `${'{"text":"a"}\n'.repeat(50)}oops\n`);
  const error = await refusal(
    build({ inputs: [file], output: output(), part: { index: 2, of: 2 } }, { batchBytes: 64 }),
  );
  expect(error.message).toContain(`${file}:51:650: not valid JSON`);
});

test('shuffled, the bytes are those of a shuffle afterwards, the held-out part too', async () => {
  const inputs = CORPUS_FILES;
  const plain = await build({ inputs, output: output(), heldOut: 0.2 });
  const shuffled = await build({ inputs, output: output(), heldOut: 0.2, shuffle: 7 });
  for (const part of ['', '_valid']) {
    const after = await shuffleDataset({ input: `${plain.prefix}${part}`, output: output(), seed: 7 });
    expect(part ? shuffled.heldOut?.sha256 : shuffled.sha256).toEqual(after.sha256);
  }
  expect(shuffled.sha256).not.toEqual(plain.sha256);
  expect(filesIn(join(shuffled.prefix, '..'))).toHaveLength(6);
});

const BAD = '{"text":"a"}\noops\n{"body":"b"}\n{"text":"c"}\n';

test('§7 bad records: skipped, counted by reason and listed with file, line, byte and reason', async () => {
  const file = writeInput('a.jsonl', BAD);
  const prefix = output();
  const result = await build({ inputs: [file], output: prefix, onBad: 'skip', maxBad: 0.5 });
  expect(result).toMatchObject({
    documents: 2,
    dropped: 2,
    droppedByReason: { empty: 0, json: 1, 'text-missing': 1 },
    rejects: `${prefix}.rejects.jsonl`,
  });
  const rejects = readFileSync(`${prefix}.rejects.jsonl`, 'utf8').trimEnd().split('\n');
  expect(rejects.map((line) => JSON.parse(line))).toEqual([
    {
      file,
      line: 2,
      byteOffset: 13,
      reason: 'json',
      code: 'CPT_FORMAT_JSON_LINE',
      why: expect.stringContaining('not valid JSON'),
    },
    {
      file,
      line: 3,
      byteOffset: 18,
      reason: 'text-missing',
      code: 'CPT_FORMAT_TEXT_MISSING',
      why: expect.stringContaining('keys here: "body"'),
    },
  ]);
  expect((await readSidecar(prefix))?.dropped).toEqual({ empty: 0, json: 1, 'text-missing': 1 });
  expect(await textsOf(prefix)).toEqual(['a', 'c']);
});

test('§7 too many bad records: no dataset, but the list of them', async () => {
  const prefix = output();
  const error = await refusal(build({ inputs: [writeInput('a.jsonl', BAD)], output: prefix, onBad: 'skip' }));
  expect(error.code).toBe('CPT_INPUT_TOO_MANY_BAD');
  expect(error.message).toBe(
    `2 of 4 records are bad (1 json, 1 text-missing), more than the share 0.001 of --max-bad; they are listed in ${prefix}.rejects.jsonl`,
  );
  expect(readFileSync(`${prefix}.rejects.jsonl`, 'utf8').split('\n')).toHaveLength(3);
  expect(filesIn(join(prefix, '..'))).toEqual(['set.rejects.jsonl']);
});

test('§7 invalid UTF-8: replaced by U+FFFD and said so', async () => {
  const file = writeInput('a.txt', Buffer.from([0x61, 0xff, 0x62]));
  const result = await build({ inputs: [file], output: output(), onInvalidUtf8: 'replace' });
  expect(await textsOf(result.prefix)).toEqual(['a\ufffdb']);
  expect(result.warnings.at(-1)).toContain('1 documents had bytes that are not UTF-8');
  const error = await refusal(build({ inputs: [file], output: output() }));
  expect(error.message).toContain(`${file}:1:1: not UTF-8 (bytes ff62)`);
});

test('§7 BOM at file start: dropped and counted', async () => {
  const result = await build({
    inputs: [writeInput('a.jsonl', '\ufeff{"text":"a"}\n'), writeInput('b.txt', '\ufeffb')],
    output: output(),
  });
  expect(result.byteOrderMarks).toBe(2);
  expect(await textsOf(result.prefix)).toEqual(['a', 'b']);
});

test('§7 very long line: refused with its offset, or passed over; a text is cut at a paragraph end', async () => {
  const file = writeInput('a.jsonl', `{"text":"a"}\n{"text":"${'x'.repeat(300)}"}\n{"text":"b"}\noops\n`);
  const error = await refusal(build({ inputs: [file], output: output(), maxLine: 100 }));
  expect(error.code).toBe('CPT_INPUT_LINE_TOO_LONG');
  expect(error.message).toContain(`${file}:2:13: longer than 100 bytes`);
  const result = await build({ inputs: [file], output: output(), maxLine: 100, onBad: 'skip', maxBad: 0.5 });
  expect(await textsOf(result.prefix)).toEqual(['a', 'b']);
  const rejects = readFileSync(result.rejects as string, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rejects.map(({ line, byteOffset, reason }) => [line, byteOffset, reason])).toEqual([
    [2, 13, 'too-long'],
    [4, 338, 'json'],
  ]);
  const text = writeInput('b.txt', `${'one two\n'.repeat(8)}\n${'three\n'.repeat(8)}`);
  const cut = await build({ inputs: [text], output: output(), maxLine: 100 });
  expect(await textsOf(cut.prefix)).toEqual([`${'one two\n'.repeat(8)}\n`, 'three\n'.repeat(8)]);
  expect(cut.warnings.at(-1)).toContain('texts longer than 100 bytes were cut 1 times');
});

test('§7 document of too many tokens: split with a warning; said in result and sidecar, and no token is lost', async () => {
  const lines = readFileSync(CORPUS_FILES[1] as string, 'utf8')
    .split('\n')
    .slice(0, 30);
  const inputs = [writeInput('a.jsonl', lines.join('\n'))];
  const whole = await build({ inputs, output: output(), eod: 'none' });
  const split = await build({ inputs, output: output(), eod: 'none', maxDocTokens: 50 });
  const [before, after] = [await openDataset(whole.prefix), await openDataset(split.prefix)];
  const longer = before.lengths.filter((length) => length > 50);
  expect(longer.length).toBeGreaterThan(10);
  expect(Array.from(after.lengths)).toEqual(
    Array.from(before.lengths).flatMap((length) => [
      ...Array(Math.ceil(length / 50) - 1).fill(50),
      ((length - 1) % 50) + 1,
    ]),
  );
  expect(await after.tokens(0, after.tokenCount)).toEqual(await before.tokens(0, before.tokenCount));
  await Promise.all([before.close(), after.close()]);
  expect([whole.splitDocuments, split.splitDocuments]).toEqual([0, longer.length]);
  expect(split.warnings).toContain(
    `${longer.length} documents of more than 50 tokens were split, each part a document of its own; choose with --max-doc-tokens`,
  );
  expect(await readSidecar(split.prefix)).toMatchObject({
    documents: after.documentCount,
    splitDocuments: longer.length,
    options: { maxDocTokens: 50 },
  });
  expect(await readSidecar(whole.prefix)).not.toHaveProperty('splitDocuments');
});

test('§7 gz truncated: refused with the packed offset, and nothing stays', async () => {
  const packed = gzipSync(readFileSync(CORPUS_FILES[1] as string));
  const file = writeInput('a.jsonl.gz', packed.subarray(0, packed.length - 100));
  const prefix = output();
  const error = await refusal(build({ inputs: [file], output: prefix }));
  expect(error.code).toBe('CPT_FORMAT_COMPRESSED');
  expect(error.message).toContain(`${file}:${packed.length - 100}: the file ends within a gzip member`);
  expect(filesIn(join(prefix, '..'))).toEqual([]);
});

test('several sequences a document are warned about', async () => {
  expect((await build({ output: output() })).warnings.at(-1)).toContain('5 sequences in 4 documents');
});

test('stdin is read through the command line, and leaves no unfinished build', () => {
  const prefix = output();
  const args = ['build', '-', '--tokenizer', TOKENIZER, '--output', prefix, '--workers', '1', '--json'];
  const cli = join(import.meta.dirname, '../cli.ts');
  const child = spawnSync(process.execPath, [...SOURCE_ARGV, cli, ...args], {
    encoding: 'utf8',
    input: readInput('lists.jsonl'),
  });
  expect(child.status).toBe(0);
  expect(child.stderr).toContain('stdin is read once: an interrupted build of it cannot be continued');
  expect(JSON.parse(child.stdout)).toMatchObject({ ...lists.withEod, dropped: 3 });
  expect(filesIn(join(prefix, '..'))).toEqual(['set.bin', 'set.idx', 'set.json']);
});

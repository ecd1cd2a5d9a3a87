import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import {
  CORPUS,
  CORPUS_FILES,
  filesIn,
  openDescriptors,
  readFixture,
  refusal,
  TOKENIZER,
  temporaryFolder,
} from '../test/fixtures.ts';
import { buildDataset } from './build.ts';
import type { BuildOptions, BuildProgress } from './build-plan.ts';
import { openDataset, readSidecar } from './node.ts';
import { loadTokenizer } from './tokenizer/load-tokenizer.ts';

interface Expected {
  documents: number;
  sequences: number;
  tokens: number;
  maxId: number;
  binBytes: number;
  idxBytes: number;
  sha256: { bin: string; idx: string };
}
/** What Python's tokenizers and struct give by Megatron's rules. */
const expected = readFixture('mmap/build.json') as {
  corpus: Expected;
  corpusInt32: Expected;
  corpusTrain: Expected;
  corpusValid: Expected;
  lists: { rows: unknown[]; withEod: Expected; withoutEod: Expected };
};
/** A file of a few hundred short documents: enough for several batches, quick to encode. */
const SMALL = join(mkdtempSync(join(tmpdir(), 'cpt-mmap-')), 'small.jsonl');
writeFileSync(SMALL, Array.from({ length: 300 }, (_, i) => `{"text":"document ${i}"}\n`).join(''));
afterAll(() => rmSync(dirname(SMALL), { recursive: true }));

const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

function build(options: Partial<BuildOptions> & { output: string }) {
  return buildDataset({ inputs: CORPUS_FILES, tokenizer: TOKENIZER, ...options });
}

test('the corpus becomes the bytes of the Python reference', async () => {
  const output = join(temporaryFolder(), 'set');
  const result = await build({ output });
  expect(result).toMatchObject({
    ...expected.corpus,
    prefix: output,
    dtype: 'uint16',
    vocabSize: 1003,
    eodToken: 1000,
    dropped: 0,
    warnings: [],
  });
  expect(sha256(`${output}.bin`)).toBe(expected.corpus.sha256.bin);
  expect(sha256(`${output}.idx`)).toBe(expected.corpus.sha256.idx);
  expect(result.seconds).toBeGreaterThan(0);
  expect(result.cpuSeconds).toBeGreaterThan(0);
});

test('dtype int32 doubles the width', async () => {
  const result = await build({ output: join(temporaryFolder(), 'set'), dtype: 'int32' });
  expect(result).toMatchObject({ ...expected.corpusInt32, dtype: 'int32' });
});

test('a held-out part is a second dataset; together they are the whole, without overlap', async () => {
  const folder = temporaryFolder();
  const result = await build({ output: folder, heldOut: 0.05 });
  expect(filesIn(folder)).toEqual(
    ['dataset', 'dataset_valid'].flatMap((name) => ['bin', 'idx', 'json'].map((ending) => `${name}.${ending}`)),
  );
  expect(result).toMatchObject({ ...expected.corpusTrain, heldOut: expected.corpusValid });
  expect(expected.corpusTrain.tokens + expected.corpusValid.tokens).toBe(expected.corpus.tokens);
  const valid = await openDataset(join(folder, 'dataset_valid'));
  const tokenizer = await loadTokenizer(TOKENIZER);
  const text = await tokenizer.decode((await valid.get(0)).subarray(0, -1));
  await valid.close();
  expect(readFileSync(CORPUS_FILES[0] as string, 'utf8')).toContain(JSON.stringify(text));
});

test('the sidecar says what the dataset was made of', async () => {
  const folder = temporaryFolder();
  const result = await build({ output: folder, heldOut: 0.05 });
  const file = join(TOKENIZER, 'tokenizer.json');
  const common = {
    version: 1,
    tokenizer: { file, fingerprint: sha256(file), vocabSize: 1003, eodToken: 1000 },
    dtype: 'uint16',
    inputs: CORPUS_FILES.map((path) => ({ path, bytes: readFileSync(path).byteLength, sha256: sha256(path) })),
    options: { textKey: 'text', splitParagraphs: false },
    dropped: { empty: 0 },
  };
  const counts = ({ documents, sequences, tokens, maxId, sha256 }: Expected) => ({
    documents,
    sequences,
    tokens,
    maxId,
    sha256,
  });
  expect(await readSidecar(result.prefix)).toEqual({
    ...common,
    ...counts(expected.corpusTrain),
    heldOut: { part: 'train', share: 0.05, seed: 1234 },
  });
  expect(await readSidecar(`${result.prefix}_valid`)).toEqual({
    ...common,
    ...counts(expected.corpusValid),
    heldOut: { part: 'valid', share: 0.05, seed: 1234 },
  });
});

test('building again gives the same bytes in every file', async () => {
  const folder = temporaryFolder();
  const inputs = [SMALL];
  await build({ inputs, output: folder, heldOut: 0.5 });
  const before = filesIn(folder).map((name) => sha256(join(folder, name)));
  await build({ inputs, output: folder, heldOut: 0.5, force: true });
  expect(filesIn(folder).map((name) => sha256(join(folder, name)))).toEqual(before);
});

function listsFile(): string {
  const file = join(temporaryFolder(), 'lists.jsonl');
  writeFileSync(file, expected.lists.rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return file;
}

test('lists are sequences, empty texts are left out, the end of document joins the last sequence', async () => {
  const inputs = [listsFile()];
  const output = join(temporaryFolder(), 'set');
  expect(await build({ inputs, output })).toMatchObject({ ...expected.lists.withEod, dropped: 3, eodToken: 1000 });
  const dataset = await openDataset(output);
  const last = await Promise.all([0, 1].map(async (i) => (await dataset.get(i)).at(-1)));
  expect(last[0]).not.toBe(1000);
  expect(last[1]).toBe(1000);
  await dataset.close();
  expect((await readSidecar(output))?.dropped).toEqual({ empty: 3 });
});

test('eod none adds nothing and is noted as null; another id may be given', async () => {
  const inputs = [listsFile()];
  const output = join(temporaryFolder(), 'set');
  expect(await build({ inputs, output, eod: 'none' })).toMatchObject({
    ...expected.lists.withoutEod,
    eodToken: undefined,
  });
  expect((await readSidecar(output))?.tokenizer.eodToken).toBeNull();
  await build({ inputs, output, eod: 5, force: true });
  const dataset = await openDataset(output);
  expect((await dataset.get(1)).at(-1)).toBe(5);
  await dataset.close();
});

test('text files: one document a file, or one a paragraph', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'in'));
  writeFileSync(join(folder, 'in/b.txt'), 'two\n\nthree\n');
  writeFileSync(join(folder, 'in/a.txt'), 'one');
  const inputs = [join(folder, 'in')];
  const output = join(folder, 'set');
  const tokenizer = await loadTokenizer(TOKENIZER);
  const texts = async () => {
    const dataset = await openDataset(output);
    const ids = await Promise.all(Array.from(dataset.lengths, (_, i) => dataset.get(i)));
    await dataset.close();
    return Promise.all(ids.map((sequence) => tokenizer.decode(sequence.subarray(0, -1))));
  };
  await build({ inputs, output });
  expect(await texts()).toEqual(['one', 'two\n\nthree\n']);
  await build({ inputs, output, splitParagraphs: true, force: true });
  expect(await texts()).toEqual(['one', 'two', 'three']);
});

const bad = (content: string) => {
  const file = join(temporaryFolder(), 'bad.jsonl');
  writeFileSync(file, content);
  return [file];
};
const NOWHERE = '/nowhere/at/all.jsonl';
test.each<[string, string, () => Partial<BuildOptions>]>([
  ['a missing input', 'CPT_INPUT_FILE_MISSING', () => ({ inputs: [...CORPUS_FILES, NOWHERE] })],
  ['a missing tokenizer', 'CPT_INPUT_FILE_MISSING', () => ({ tokenizer: NOWHERE })],
  ['a bad line', 'CPT_FORMAT_JSON_LINE', () => ({ inputs: [SMALL, ...bad('{"text":"a"}\n{"text"\n')] })],
  ['a missing key', 'CPT_FORMAT_TEXT_MISSING', () => ({ inputs: [SMALL, ...bad('{"content":"a"}\n')] })],
  ['no text at all', 'CPT_INPUT_EMPTY_DATASET', () => ({ inputs: bad('{"text":" \\n"}\n') })],
  ['an empty file', 'CPT_INPUT_EMPTY_DATASET', () => ({ inputs: bad('') })],
  ['nothing to hold out', 'CPT_INPUT_EMPTY_DATASET', () => ({ inputs: bad('{"text":"a"}\n'), heldOut: 0.001 })],
  ['an unknown dtype', 'CPT_INPUT_INVALID', () => ({ dtype: 'uint32' as 'int32' })],
  ['an eod past the vocabulary', 'CPT_INPUT_INVALID', () => ({ eod: 1003 })],
  ['a negative eod', 'CPT_INPUT_INVALID', () => ({ eod: -1 })],
  ['a held-out share of 1', 'CPT_INPUT_INVALID', () => ({ heldOut: 1 })],
])('%s is refused in one line with %s, and nothing is left behind', async (_, code, options) => {
  const folder = temporaryFolder();
  const error = await refusal(build({ output: join(folder, 'set'), heldOut: 0.5, ...options() }));
  expect(error.code).toBe(code);
  expect(error.message).not.toContain('\n');
  expect(filesIn(folder)).toEqual([]);
});

test.each(['set.bin', 'set_valid.idx', 'set.json'])(
  'an existing %s is refused before anything is read',
  async (name) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, name), 'old');
    const error = await refusal(build({ output: join(folder, 'set'), heldOut: 0.05, inputs: [NOWHERE] }));
    expect(error.code).toBe('CPT_INPUT_OUTPUT_EXISTS');
    expect(error.message).toContain('--force');
    expect(readFileSync(join(folder, name), 'utf8')).toBe('old');
  },
);

test('a failed rebuild leaves the old dataset as it was', async () => {
  const folder = temporaryFolder();
  await build({ inputs: [SMALL], output: folder });
  const before = filesIn(folder).map((name) => sha256(join(folder, name)));
  await refusal(build({ output: folder, force: true, inputs: [SMALL, ...bad('{')] }));
  expect(filesIn(folder).map((name) => sha256(join(folder, name)))).toEqual(before);
});

test('an abort ends the build with its own reason and leaves nothing', async () => {
  const folder = temporaryFolder();
  const abort = new AbortController();
  const reason = new Error('enough');
  const seen: BuildProgress[] = [];
  const onProgress = (progress: BuildProgress) => {
    seen.push(progress);
    abort.abort(reason);
  };
  await expect(build({ output: folder, heldOut: 0.1, onProgress, signal: abort.signal })).rejects.toBe(reason);
  expect(seen).toHaveLength(1);
  expect(openDescriptors(CORPUS)).toEqual([]);
  expect(filesIn(folder)).toEqual([]);
});

test('progress counts up to the whole', async () => {
  const seen: BuildProgress[] = [];
  await build({ output: temporaryFolder(), inputs: [CORPUS], onProgress: (progress) => seen.push(progress) });
  const bytesTotal = CORPUS_FILES.reduce((sum, file) => sum + readFileSync(file).byteLength, 0);
  expect(seen.at(-1)).toMatchObject({
    documents: 330,
    tokens: expected.corpus.tokens,
    bytesRead: bytesTotal,
    bytesTotal,
  });
  for (let i = 1; i < seen.length; i++) {
    const [before, after] = [seen[i - 1], seen[i]] as [BuildProgress, BuildProgress];
    expect(after.bytesRead).toBeGreaterThanOrEqual(before.bytesRead);
    expect(after.documents).toBeGreaterThanOrEqual(before.documents);
  }
  expect(existsSync(join(CORPUS, 'dataset.bin'))).toBe(false);
});

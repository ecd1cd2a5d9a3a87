import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { brokenPairs, filesIn, openDescriptors, readablePair, refusal, temporaryFolder } from '../test/fixtures.ts';
import { serializeIndex } from './index-format.ts';
import {
  createDatasetWriter,
  listFiles,
  openDataset,
  processorSeconds,
  readSidecar,
  resolvePrefix,
  staleIndexCache,
} from './node.ts';

const pair = readablePair('i32_multi_sequence');
const addAll = async (writer: { addDocument(s: Int32Array[]): Promise<void> }, documents = pair.documents) => {
  for (const document of documents) await writer.addDocument(document.map((ids) => Int32Array.from(ids)));
};

test('a written dataset has the reference bytes under its final names and nothing else beside it', async () => {
  const folder = temporaryFolder();
  const prefix = join(folder, 'new/folder/set');
  const writer = await createDatasetWriter({ prefix, dtype: 'int32' });
  await addAll(writer);
  expect(filesIn(join(folder, 'new/folder')).every((name) => name.includes('.tmp-'))).toBe(true);
  const summary = await writer.finish();
  expect(filesIn(join(folder, 'new/folder'))).toEqual(['set.bin', 'set.idx']);
  expect(readFileSync(`${prefix}.bin`)).toEqual(pair.bin);
  expect(readFileSync(`${prefix}.idx`)).toEqual(pair.idx);
  expect(summary.sha256.bin).toBe(createHash('sha256').update(pair.bin).digest('hex'));
  expect(openDescriptors(folder)).toEqual([]);
  const dataset = await openDataset(prefix);
  expect(Array.from(await dataset.get(1))).toEqual([3, 4, 5]);
  await dataset.close();
  expect(await refusal(dataset.get(0))).toMatchObject({ code: 'CPT_INPUT_INVALID' });
  expect(openDescriptors(folder)).toEqual([]);
  await expect(dataset.get(1)).rejects.toThrow();
});

test('prepare gives no final name; commit gives them all', async () => {
  const folder = temporaryFolder();
  const writer = await createDatasetWriter({ prefix: join(folder, 'set'), dtype: 'int32' });
  await addAll(writer);
  await writer.prepare();
  expect(filesIn(folder).filter((name) => !name.includes('.tmp-'))).toEqual([]);
  await writer.commit('{}');
  expect(filesIn(folder)).toEqual(['set.bin', 'set.idx', 'set.json']);
});

test('abort removes everything, before and after prepare', async () => {
  for (const isPrepared of [false, true]) {
    const folder = temporaryFolder();
    const writer = await createDatasetWriter({ prefix: join(folder, 'set'), dtype: 'int32' });
    await addAll(writer);
    if (isPrepared) await writer.prepare();
    await writer.abort();
    expect(filesIn(folder)).toEqual([]);
  }
});

test('without a name for .bin there is no .idx: the index is the mark of a whole dataset', async () => {
  const folder = temporaryFolder();
  const prefix = join(folder, 'set');
  mkdirSync(`${prefix}.bin/in-the-way`, { recursive: true });
  writeFileSync(`${prefix}.idx`, 'old');
  const writer = await createDatasetWriter({ prefix, dtype: 'int32', force: true });
  await addAll(writer);
  await expect(writer.finish()).rejects.toThrow();
  await writer.abort();
  expect(existsSync(`${prefix}.idx`)).toBe(false);
  expect(filesIn(folder).filter((name) => name.includes('.tmp-'))).toEqual([]);
});

test.each(['bin', 'idx', 'json'])('an existing .%s is refused, and replaced with force', async (ending) => {
  const folder = temporaryFolder();
  const prefix = join(folder, 'set');
  writeFileSync(`${prefix}.${ending}`, 'old');
  const error = await refusal(createDatasetWriter({ prefix, dtype: 'int32' }));
  expect(error.code).toBe('CPT_INPUT_OUTPUT_EXISTS');
  expect(error.message).toContain(`set.${ending}: already exists`);
  expect(filesIn(folder)).toEqual([`set.${ending}`]);
  const writer = await createDatasetWriter({ prefix, dtype: 'int32', force: true });
  await addAll(writer);
  await writer.finish();
  expect(filesIn(folder)).toEqual(['set.bin', 'set.idx']);
});

test.each(brokenPairs.filter(({ idx, bin }) => !idx || !bin))('$name is refused with $refusal', async (broken) => {
  const prefix = join(temporaryFolder(), 'set');
  if (broken.idx) writeFileSync(`${prefix}.idx`, broken.idx);
  if (broken.bin) writeFileSync(`${prefix}.bin`, broken.bin);
  expect((await refusal(openDataset(prefix))).code).toBe(broken.refusal);
});

test('a dataset that cannot be opened leaves no file open', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'set.idx'), pair.idx);
  writeFileSync(join(folder, 'set.bin'), pair.bin.subarray(0, 3));
  await refusal(openDataset(join(folder, 'set')));
  writeFileSync(join(folder, 'alone.idx'), pair.idx);
  await refusal(openDataset(join(folder, 'alone')));
  expect(openDescriptors(folder)).toEqual([]);
});

test('a .bin of more than 4 GiB is read past every 32-bit number, from disk', async () => {
  // 4 sequences of 2^29 ids of 4 bytes, 8 GiB in all: a hole, except for the first and last ids of the last sequence.
  const prefix = join(temporaryFolder(), 'set');
  const lengths = Int32Array.of(2 ** 29, 2 ** 29, 2 ** 29, 2 ** 29);
  const content = { dtype: 'int32', sequenceCount: 4, documentCount: 4, sequencesPerDocument: undefined } as const;
  writeFileSync(`${prefix}.idx`, Buffer.concat([...serializeIndex({ ...content, lengths: () => [lengths] })]));
  const file = openSync(`${prefix}.bin`, 'w');
  for (const [id, at] of [
    [7, 6 * 2 ** 30],
    [8, 8 * 2 ** 30 - 4],
  ] as const)
    writeSync(file, Int32Array.of(id), 0, 4, at);
  closeSync(file);
  const dataset = await openDataset(prefix);
  expect(dataset).toMatchObject({ tokenCount: 2 ** 31, binBytes: 2 ** 33, isContiguous: true, warnings: [] });
  expect([...(await dataset.tokens(3 * 2 ** 29 - 1, 3))]).toEqual([0, 7, 0]);
  expect([...(await dataset.tokens(2 ** 31 - 2, 2))]).toEqual([0, 8]);
  await dataset.close();
});

test('a prefix is what a person means by it', async () => {
  const folder = temporaryFolder();
  expect(await resolvePrefix(folder)).toBe(join(folder, 'dataset'));
  expect(await resolvePrefix(`${folder}/not-there/`)).toBe(join(folder, 'not-there/dataset'));
  expect(await resolvePrefix(`${folder}/a.bin`)).toBe(`${folder}/a`);
  expect(await resolvePrefix(`${folder}/a.idx`)).toBe(`${folder}/a`);
  expect(await resolvePrefix(`${folder}/a.b`)).toBe(`${folder}/a.b`);
});

test('files of a folder come sorted, from folders below and through links, without hidden ones', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'b'));
  mkdirSync(join(folder, 'elsewhere'));
  for (const name of ['c.txt', 'a.txt', 'B.txt', '.hidden', 'b/z.txt', 'elsewhere/x.txt']) {
    writeFileSync(join(folder, name), '');
  }
  symlinkSync(join(folder, 'elsewhere'), join(folder, 'd'));
  const names = (await listFiles(folder)).map((file) => file.slice(folder.length + 1));
  expect(names).toEqual(['B.txt', 'a.txt', 'b/z.txt', 'c.txt', 'd/x.txt', 'elsewhere/x.txt']);
});

test('a dataset of another program has no sidecar, a broken one is refused', async () => {
  const prefix = join(temporaryFolder(), 'set');
  expect(await readSidecar(prefix)).toBeUndefined();
  writeFileSync(`${prefix}.json`, '{');
  expect((await refusal(readSidecar(prefix))).code).toBe('CPT_FORMAT_SIDECAR');
});

test('Megatron’s index cache is found', async () => {
  const prefix = join(temporaryFolder(), 'set');
  expect(await staleIndexCache(prefix)).toBeUndefined();
  mkdirSync(`${prefix}/cache/GPTDataset_indices`, { recursive: true });
  expect(await staleIndexCache(prefix)).toBe(`${prefix}/cache/GPTDataset_indices`);
});

test('processor seconds grow with work', () => {
  const before = processorSeconds();
  let x = 0;
  for (let i = 0; i < 2e7; i++) x += Math.sqrt(i);
  expect(x).toBeGreaterThan(0);
  expect(processorSeconds()).toBeGreaterThan(before);
});

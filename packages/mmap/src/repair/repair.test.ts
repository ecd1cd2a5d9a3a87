import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  filesIn,
  openDescriptors,
  type ReadablePair,
  readablePair,
  refusal,
  temporaryFolder,
} from '../../test/fixtures.ts';
import { runCommand } from '../commands.ts';
import { examineDataset } from '../doctor/examine.ts';
import { openDataset } from '../node.ts';
import { type RepairOptions, type RepairResult, repairDataset } from './repair.ts';

/** A broken dataset on disk; `run` repairs it and checks that nothing of it was changed. */
function broken(files: { idx?: Buffer; bin: Buffer; json?: string }) {
  const folder = temporaryFolder();
  const prefix = join(folder, 'old');
  const output = join(folder, 'new', 'set');
  if (files.idx) writeFileSync(`${prefix}.idx`, files.idx);
  writeFileSync(`${prefix}.bin`, files.bin);
  if (files.json !== undefined) writeFileSync(`${prefix}.json`, files.json);
  const before = filesIn(folder);
  const checkOld = () => {
    expect(readFileSync(`${prefix}.bin`).equals(files.bin)).toBe(true);
    if (files.idx) expect(readFileSync(`${prefix}.idx`).equals(files.idx)).toBe(true);
    expect(openDescriptors(folder)).toEqual([]);
  };
  return {
    prefix,
    output,
    async run(options: Partial<RepairOptions>): Promise<RepairResult> {
      const result = await repairDataset({ prefix, output, ...options });
      checkOld();
      expect(filesIn(folder).filter((name) => name.includes('tmp'))).toEqual([]);
      return result;
    },
    async refused(options: Partial<RepairOptions>) {
      const error = await refusal(repairDataset({ prefix, output, ...options }));
      checkOld();
      expect(filesIn(folder).filter((name) => !before.includes(name) && name !== 'new')).toEqual([]);
      return error;
    },
  };
}

/** The index of a pair with other pointers. */
function withPointers(pair: ReadablePair, pointers: readonly number[]): Buffer {
  const idx = Buffer.from(pair.idx);
  for (const [i, pointer] of pointers.entries()) {
    idx.writeBigInt64LE(BigInt(pointer), 34 + 4 * pair.lengths.length + 8 * i);
  }
  return idx;
}

const contiguous = [
  'u16_three_docs',
  'i32_multi_sequence',
  'i32_empty_doc',
  'i32_zero_length_seq',
  'u16_modes',
  'dt_int64',
];

test.each(contiguous)('%s: pointers that overflowed are laid anew, byte for byte', async (name) => {
  const pair = readablePair(name);
  const wrapped = pair.pointers.map((pointer) => pointer - 2 ** 32);
  const { prefix, output, run } = broken({ idx: withPointers(pair, wrapped), bin: pair.bin });
  expect((await examineDataset(prefix)).ok).toBe(false);
  const result = await run({ pointers: true });
  expect(readFileSync(`${output}.idx`).equals(pair.idx)).toBe(true);
  expect(readFileSync(`${output}.bin`).equals(pair.bin)).toBe(true);
  expect(statSync(`${output}.bin`).ino).toBe(statSync(`${prefix}.bin`).ino);
  expect(result).toMatchObject({
    bin: 'linked',
    kept: { documents: pair.documents.length, sequences: pair.lengths.length, tokens: pair.tokens },
    lost: { documents: 0, sequences: 0, tokens: 0, bytes: 0 },
    sha256: { idx: createHash('sha256').update(pair.idx).digest('hex') },
    hasSidecar: false,
  });
});

test('a truncated .bin: at every length, the documents that are whole', async () => {
  const pair = readablePair('i32_multi_sequence'); // documents end at bytes 20, 28 and 44, sequences at 8 20 28 32 36 44
  for (let bytes = 20; bytes < 44; bytes++) {
    const { output, run } = broken({ idx: pair.idx, bin: pair.bin.subarray(0, bytes) });
    const result = await run({ truncate: true });
    const isSecondWhole = bytes >= 28;
    expect(result.kept).toEqual(
      isSecondWhole
        ? { documents: 2, sequences: 3, tokens: 7, bytes: 28 }
        : { documents: 1, sequences: 2, tokens: 5, bytes: 20 },
    );
    expect(result.lost).toEqual(
      isSecondWhole
        ? { documents: 1, sequences: 3, tokens: 4, bytes: bytes - 28 }
        : { documents: 2, sequences: 4, tokens: 6, bytes: bytes - 20 },
    );
    expect(result.bin).toBe(bytes === 20 || bytes === 28 ? 'linked' : 'copied');
    const dataset = await openDataset(output);
    expect(dataset.warnings).toEqual([]);
    expect(dataset.binBytes).toBe(result.kept.bytes);
    expect(Array.from(dataset.documentIndex)).toEqual(isSecondWhole ? [0, 2, 3] : [0, 2]);
    expect(Array.from(await dataset.tokens(0, dataset.tokenCount))).toEqual(
      pair.documents.slice(0, result.kept.documents).flat(2),
    );
    await dataset.close();
  }
});

test('without one whole document nothing is written', async () => {
  const pair = readablePair('i32_multi_sequence');
  const { refused } = broken({ idx: pair.idx, bin: pair.bin.subarray(0, 19) });
  expect((await refused({ truncate: true })).code).toBe('CPT_INPUT_EMPTY_DATASET');
});

test('trailing bytes are left out', async () => {
  const pair = readablePair('bin_trailing');
  const { output, run } = broken({ idx: pair.idx, bin: pair.bin });
  const result = await run({ truncate: true });
  expect(result).toMatchObject({ lost: { documents: 0, tokens: 0, bytes: 4 }, bin: 'copied' });
  expect(readFileSync(`${output}.bin`).equals(pair.bin.subarray(0, 20))).toBe(true);
  expect(readFileSync(`${output}.idx`).equals(pair.idx)).toBe(true);
});

test('modes go with their sequences', async () => {
  const pair = readablePair('u16_modes'); // 3 + 2 ids, then 1; modes 0 1 0
  const { output, run } = broken({ idx: pair.idx, bin: pair.bin.subarray(0, 11) });
  await run({ truncate: true });
  const dataset = await openDataset(output);
  expect(Array.from(dataset.modes ?? [])).toEqual([0, 1]);
  await dataset.close();
});

test('an index made anew from the ids that end documents', async () => {
  const pair = readablePair('i32_three_docs');
  const whole = broken({ bin: pair.bin });
  expect(await whole.run({ reindexEod: 151643 })).toMatchObject({ bin: 'linked', lost: { documents: 0, bytes: 0 } });
  expect(readFileSync(`${whole.output}.idx`).equals(pair.idx)).toBe(true);

  // Two ids and half of one after the last end: they are no document.
  const tail = broken({ bin: Buffer.concat([pair.bin, Buffer.from([1, 0, 0, 0, 2, 0, 0, 0, 3, 0])]) });
  expect(await tail.run({ reindexEod: 151643 })).toMatchObject({
    bin: 'copied',
    kept: { documents: 3, sequences: 3, tokens: 10, bytes: 40 },
    lost: { documents: 1, sequences: 1, tokens: 2, bytes: 10 },
  });
  expect(readFileSync(`${tail.output}.idx`).equals(pair.idx)).toBe(true);
  expect(readFileSync(`${tail.output}.bin`).equals(pair.bin)).toBe(true);

  const narrow = broken({ bin: Buffer.from([1, 0, 9, 0, 9, 0, 2, 0, 9, 0]) });
  expect(await narrow.run({ reindexEod: 9, dtype: 'uint16' })).toMatchObject({
    dtype: 'uint16',
    kept: { documents: 3 },
  });
  const dataset = await openDataset(narrow.output);
  expect(Array.from(dataset.lengths)).toEqual([2, 1, 2]);
  await dataset.close();

  const absent = await broken({ bin: pair.bin }).refused({ reindexEod: 7 });
  expect(absent.code).toBe('CPT_FORMAT_MMAP_UNREPAIRABLE');
  expect(absent.message).toContain('id 7 does not occur in 10 ids of int32');
  const wide = await broken({ bin: pair.bin }).refused({ reindexEod: 7, dtype: 'int64' });
  expect(wide.code).toBe('CPT_FORMAT_MMAP_TOKEN_RANGE');
});

test('what cannot be repaired is said', async () => {
  const pair = readablePair('i32_multi_sequence');
  const good = broken({ idx: pair.idx, bin: pair.bin });
  expect((await good.refused({ pointers: true })).message).toContain('there is nothing to repair');
  expect((await good.refused({ truncate: true })).message).toContain('nothing is cut off');
  expect((await good.refused({})).message).toContain('--pointers, --truncate or --reindex-eod');
  expect((await good.refused({ truncate: true, reindexEod: 1 })).message).toContain(
    'leave --pointers and --truncate out',
  );

  const swapped = readablePair('i32_swapped');
  const other = broken({ idx: swapped.idx, bin: swapped.bin.subarray(0, 16) });
  expect((await other.refused({ truncate: true })).code).toBe('CPT_FORMAT_MMAP_UNREPAIRABLE');
  const full = broken({ idx: swapped.idx, bin: swapped.bin });
  expect((await full.refused({ truncate: true })).message).toContain('add --pointers if they are wrong');
  const both = await other.refused({ pointers: true, truncate: true });
  expect(both.message).toContain('the lengths need 20 bytes, the file has 16');

  const lengths = Buffer.from(pair.idx);
  lengths.writeInt32LE(-1, 34);
  expect((await broken({ idx: lengths, bin: pair.bin }).refused({ pointers: true })).code).toBe(
    'CPT_FORMAT_MMAP_LENGTH',
  );
  const documents = Buffer.from(pair.idx);
  documents.writeBigInt64LE(9n, documents.length - 8);
  const refusedDocuments = await broken({ idx: documents, bin: pair.bin }).refused({ pointers: true });
  expect(refusedDocuments.code).toBe('CPT_FORMAT_MMAP_DOCUMENT_INDEX');
  expect((await broken({ bin: pair.bin }).refused({ pointers: true })).code).toBe('CPT_INPUT_FILE_MISSING');
});

test('the output is never the dataset itself, and an existing one only with force', async () => {
  const pair = readablePair('i32_multi_sequence');
  const { prefix, output, run } = broken({ idx: pair.idx, bin: pair.bin.subarray(0, 28) });
  for (const same of [prefix, `${prefix}.bin`, join(prefix, '..', 'new', '..', 'old')]) {
    const error = await refusal(repairDataset({ prefix, output: same, truncate: true, force: true }));
    expect(error.message).toContain('is the dataset itself');
  }
  mkdirSync(join(output, '..'));
  linkSync(`${prefix}.bin`, `${output}.bin`); // as an earlier repair left it
  writeFileSync(`${output}.json`, 'old');
  expect((await refusal(repairDataset({ prefix, output, truncate: true }))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
  await run({ truncate: true, force: true });
  expect(filesIn(join(output, '..'))).toEqual(['set.bin', 'set.idx']);
});

test('a sidecar goes along with the numbers of the new files', async () => {
  const pair = readablePair('i32_three_docs');
  const sidecar = {
    version: 1,
    tokenizer: { file: 'tokenizer.json', fingerprint: 'f', vocabSize: 151669, eodToken: 151643 },
    ...{ dtype: 'int32', documents: 3, sequences: 3, tokens: 10, maxId: 151668 },
    sha256: { bin: 'b', idx: 'i' },
  };
  const cut = broken({ idx: pair.idx, bin: pair.bin.subarray(0, 30), json: JSON.stringify(sidecar) });
  expect((await cut.run({ truncate: true })).hasSidecar).toBe(true);
  const noted = JSON.parse(readFileSync(`${cut.output}.json`, 'utf8')) as typeof sidecar;
  expect(noted).toMatchObject({ documents: 2, sequences: 2, tokens: 7, maxId: 151643, tokenizer: sidecar.tokenizer });
  expect(noted.sha256.bin).toBe(createHash('sha256').update(pair.bin.subarray(0, 28)).digest('hex'));
  const examination = await examineDataset(cut.output, { model: 'qwen3', full: true });
  expect(examination.ok).toBe(true);
  expect(examination.findings.find(({ code }) => code === 'sidecar')?.message).toContain('counts and sha256 agree');

  // Linked bytes keep their digest and largest id.
  const pointers = broken({ idx: withPointers(pair, [-1, 0, 0]), bin: pair.bin, json: JSON.stringify(sidecar) });
  await pointers.run({ pointers: true });
  const same = JSON.parse(readFileSync(`${pointers.output}.json`, 'utf8')) as typeof sidecar;
  expect(same).toMatchObject({ maxId: 151668, sha256: { bin: 'b' } });
  expect(same.sha256.idx).toBe(createHash('sha256').update(pair.idx).digest('hex'));
  // Without an index, the sidecar says how ids are stored.
  const narrow = { ...sidecar, dtype: 'uint16' };
  const reindexed = broken({ bin: Buffer.from([1, 0, 9, 0]), json: JSON.stringify(narrow) });
  expect((await reindexed.run({ reindexEod: 9 })).dtype).toBe('uint16');
});

test('repeating a repair with force replaces one name of the same bytes by another', async () => {
  const pair = readablePair('i32_three_docs');
  const { output, run } = broken({ idx: withPointers(pair, [-8, 0, 0]), bin: pair.bin });
  await run({ pointers: true });
  expect((await run({ pointers: true, force: true })).bin).toBe('linked');
  expect(readFileSync(`${output}.bin`).equals(pair.bin)).toBe(true);
});

test('an id that no vocabulary has stops a copy, and nothing is left of it', async () => {
  const pair = readablePair('dt_int64');
  const bin = Buffer.concat([pair.bin, Buffer.from([0])]);
  bin.writeBigInt64LE(2n ** 40n, 8);
  expect((await broken({ idx: pair.idx, bin }).refused({ truncate: true })).code).toBe('CPT_FORMAT_MMAP_TOKEN_RANGE');
});

test('an abort leaves nothing behind', async () => {
  const pair = readablePair('bin_trailing');
  const { output, prefix } = broken({ idx: pair.idx, bin: pair.bin });
  const reason = new Error('enough');
  const run = repairDataset({ prefix, output, truncate: true, signal: AbortSignal.abort(reason) });
  await expect(run).rejects.toBe(reason);
  expect(filesIn(join(prefix, '..')).filter((name) => name.startsWith('new/'))).toEqual([]);
});

test('the command says what was kept and what was lost', async () => {
  const pair = readablePair('i32_multi_sequence');
  const { prefix, output } = broken({ idx: pair.idx, bin: pair.bin.subarray(0, 30) });
  const out: string[] = [];
  const run = (...args: string[]) => runCommand(args, { write: (text) => void out.push(text), log: () => undefined });
  expect(await run('repair', prefix, output, '--truncate')).toBe(0);
  expect(out.join('')).toBe(
    `✓ ${output}: 2 documents, 3 sequences, 7 tokens\n  lost: 1 documents, 3 sequences, 4 tokens; 2 bytes of .bin left out\n  .bin copied\n`,
  );
  out.length = 0;
  const json = ['repair', prefix, output, '--reindex-eod', '151643', '--dtype', 'int32', '--force', '--json'];
  expect(await run(...json)).toBe(0);
  expect(JSON.parse(out.join(''))).toMatchObject({ kept: { documents: 1, tokens: 7 }, lost: { bytes: 2 } });
  expect(await run('repair', prefix, output, '--reindex-eod', '1', '--dtype', 'float16')).toBe(2);
});

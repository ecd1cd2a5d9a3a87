import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { CORPUS, filesIn, readFixture, refusal, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import { inputFile } from '../../test/streams.ts';
import type { BuildOptions } from '../build-plan.ts';
import { estimateBuild } from './estimate-build.ts';

const { corpus } = readFixture('mmap/build.json') as {
  corpus: { documents: number; tokens: number; binBytes: number; idxBytes: number };
};
const estimate = (options: Partial<BuildOptions> = {}) =>
  estimateBuild({ inputs: [CORPUS], tokenizer: TOKENIZER, output: join(temporaryFolder(), 'set'), ...options });

test('a small input is read whole: the numbers are exact, and nothing is written', async () => {
  const folder = temporaryFolder();
  const found = await estimate({ output: join(folder, 'new/set') });
  const { documents, tokens, binBytes, idxBytes } = corpus;
  expect(found).toMatchObject({
    documents,
    tokens,
    binBytes,
    idxBytes,
    inputs: 2,
    badShare: 0,
    isRoomEnough: true,
    dtype: 'uint16',
  });
  expect(found.sampledBytes).toBe(found.inputBytes);
  expect(filesIn(folder)).toEqual([]);
});

test.each(['jsonl', 'jsonl.gz', 'txt'])(
  'of a larger .%s a part is read, and the whole comes out about right',
  async (ending) => {
    const english = readFileSync(join(CORPUS, 'english.jsonl'), 'utf8');
    const chinese = readFileSync(join(CORPUS, 'chinese.jsonl'), 'utf8');
    const times = 40;
    const text = `${english.repeat(times)}${chinese.repeat(times)}`;
    const file = join(temporaryFolder(), `a.${ending}`);
    writeFileSync(file, ending.endsWith('gz') ? gzipSync(text, { level: 1 }) : text);
    const found = await estimate({ inputs: [file] });
    if (ending === 'txt')
      expect(found.sampledBytes).toBe(found.inputBytes); // one document
    else expect(found.tokens / (corpus.tokens * times)).toBeGreaterThan(0.9);
    if (ending === 'jsonl') {
      expect(found.tokens / (corpus.tokens * times)).toBeLessThan(1.1);
      expect(found.documents / (corpus.documents * times)).toBeGreaterThan(0.85);
      expect(found.sampledBytes).toBeLessThan(5e6);
    }
  },
);

test('bad records are a share, a limit bounds the numbers, stdin cannot be measured', async () => {
  const file = join(temporaryFolder(), 'a.jsonl');
  writeFileSync(file, '{"text":"a"}\noops\n{"text":"b"}\n{"text":"c"}\n');
  expect(await estimate({ inputs: [file] })).toMatchObject({ documents: 3, tokens: 6, badShare: 0.25 });
  expect(await estimate({ inputs: [file], limit: 1 })).toMatchObject({ documents: 1, tokens: 2 });
  expect(await estimate({ inputs: [inputFile('lists.parquet')] })).toMatchObject({ documents: 4, tokens: 73 });
  expect((await refusal(estimate({ inputs: ['-'] }))).code).toBe('CPT_INPUT_INVALID');
});

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

const TIMES = 16;
/** 9 MB: more than the sample, the two languages one behind the other. */
function largeText(): string {
  const [english, chinese] = ['english', 'chinese'].map((name) => readFileSync(join(CORPUS, `${name}.jsonl`), 'utf8'));
  return `${english?.repeat(TIMES)}${chinese?.repeat(TIMES)}`;
}

test('of a larger file windows all over it are read, and the whole comes out about right', async () => {
  const file = join(temporaryFolder(), 'a.jsonl');
  writeFileSync(file, largeText());
  const found = await estimate({ inputs: [file] });
  expect(found.sampledBytes).toBeLessThan(5e6);
  expect(Math.abs(found.tokens / (corpus.tokens * TIMES) - 1)).toBeLessThan(0.1);
  expect(Math.abs(found.documents / (corpus.documents * TIMES) - 1)).toBeLessThan(0.15);
});

test('a packed file that is not large is read whole', async () => {
  const file = join(temporaryFolder(), 'a.jsonl.gz');
  writeFileSync(file, gzipSync(largeText(), { level: 1 }));
  expect((await estimate({ inputs: [file] })).tokens).toBe(corpus.tokens * TIMES);
});

test('bad records are a share, a limit bounds the numbers, stdin cannot be measured', async () => {
  const file = join(temporaryFolder(), 'a.jsonl');
  writeFileSync(file, '{"text":"a"}\noops\n{"text":"b"}\n{"text":"c"}\n');
  expect(await estimate({ inputs: [file] })).toMatchObject({ documents: 3, tokens: 6, badShare: 0.25 });
  expect(await estimate({ inputs: [file], limit: 1 })).toMatchObject({ documents: 1, tokens: 2 });
  expect(await estimate({ inputs: [inputFile('lists.parquet')] })).toMatchObject({ documents: 4, tokens: 73 });
  expect((await refusal(estimate({ inputs: ['-'] }))).code).toBe('CPT_INPUT_INVALID');
});

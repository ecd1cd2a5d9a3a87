import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { CORPUS_FILES, filesIn, openDescriptors, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { corpusText, qualityFixture } from '../../test/quality-fixture.ts';
import { runQuietly } from '../../test/run-command.ts';
import { findContamination } from './find-contamination.ts';

const [ENGLISH, CHINESE] = CORPUS_FILES as [string, string];

/** The evaluations of the fixture as objects, some of them nested, in two files. */
function writeEvaluations(folder: string): string[] {
  const lines = qualityFixture.evaluations.map(([question, ...more], id) =>
    JSON.stringify({ id, question, answers: [{ more }] }),
  );
  writeFileSync(join(folder, 'eval-a.jsonl'), `${lines.slice(0, 2).join('\n\n')}\n`);
  writeFileSync(join(folder, 'eval-b.jsonl.gz'), gzipSync(lines.slice(2).join('\n')));
  return [join(folder, 'eval-a.jsonl'), join(folder, 'eval-b.jsonl.gz')];
}

test('reports each hit with the evaluation document and the n-gram, and drops on request', async () => {
  const folder = temporaryFolder();
  const against = writeEvaluations(folder);
  const [a, b] = against as [string, string];
  const ids = [`${a}:1`, `${a}:3`, ...[1, 2, 3, 4, 5].map((line) => `${b}:${line}`)];
  const drop = join(folder, 'out');
  const args = ['decontaminate', ...CORPUS_FILES, '--against', ...against, '--drop', drop, '--json'];
  const report = JSON.parse((await runQuietly(...args)).out) as Record<string, unknown>;
  expect(report).toMatchObject({
    documents: 330,
    rejected: 4,
    evaluations: 7,
    texts: 9,
    shortTexts: 2, // "short" and "Which poem is this?"
    contaminatedEvaluations: 5,
    output: {
      folder: drop,
      files: [join(drop, 'english.jsonl'), join(drop, 'chinese.jsonl')],
      rejects: `${drop}.rejects.jsonl`,
    },
  });
  const expected = qualityFixture.contamination.flatMap(({ file, line, expected: hits }) =>
    hits.map(([evaluation, ngram, matches]) => ({
      document: `${file === 'english' ? ENGLISH : CHINESE}:${line}`,
      evaluation: ids[evaluation],
      ngram,
      matches,
    })),
  );
  expect(report.examples).toHaveLength(5);
  for (const example of report.examples as unknown[]) expect(expected).toContainEqual(example);

  const rejects = readFileSync(`${drop}.rejects.jsonl`, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rejects[0]).toEqual({
    file: ENGLISH,
    line: 3,
    reason: `shares an n-gram with ${a}:1, ${b}:5`,
    hits: expected.slice(0, 2).map(({ document: _, ...hit }) => hit),
    text: corpusText({ file: 'english', line: 3 }),
  });
  const kept = readFileSync(ENGLISH, 'utf8').split('\n');
  expect(rejects.map(({ file, line }) => [file, line])).toEqual([
    [ENGLISH, 3],
    [ENGLISH, 90],
    [CHINESE, 2],
    [CHINESE, 60],
  ]);
  kept.splice(89, 1);
  kept.splice(2, 1);
  expect(readFileSync(join(drop, 'english.jsonl'), 'utf8')).toBe(kept.join('\n'));
  expect(openDescriptors(folder)).toEqual([]);
});

test('for a person', async () => {
  const folder = temporaryFolder();
  const { out } = await runQuietly('decontaminate', ENGLISH, '--against', ...writeEvaluations(folder));
  expect(out).toContain('2 of 186 documents');
  expect(out).toContain('share text with 3 of 7 evaluation documents\n');
  expect(out).toContain(
    '2 of 9 evaluation texts are shorter than 13 words or 30 Chinese characters and cannot be found',
  );
  expect(out).toContain(`${ENGLISH}:3 ~ ${join(folder, 'eval-a.jsonl')}:1 (14 matching n-grams)`);
  expect(out).toContain('"you the dreamiest shadiest quietest most enchanting bit of romantic landscape in all"');
  expect(filesIn(folder)).toEqual(['eval-a.jsonl', 'eval-b.jsonl.gz']);
});

test('bad evaluation files are refused before anything is written', async () => {
  const folder = temporaryFolder();
  const refused = async (name: string, content: string | Buffer) => {
    const file = join(folder, name);
    writeFileSync(file, content);
    const error = await refusal(runQuietly('decontaminate', ENGLISH, '--against', file, '--drop', join(folder, 'out')));
    return `${error.code} ${error.message}`;
  };
  expect(await refused('a.jsonl', '{"a":"b"}\n{"a":\n')).toMatch(
    /^CPT_FORMAT_JSON_LINE .*a\.jsonl:2:10: not valid JSON/,
  );
  expect(await refused('b.jsonl', Buffer.from('{"a":"\xff"}\n', 'latin1'))).toMatch(
    /^CPT_FORMAT_UTF8 .*b\.jsonl:1:6: not UTF-8/,
  );
  expect(await refused('c.txt', 'text')).toMatch(/^CPT_INPUT_INVALID .*c\.txt: an evaluation file holds JSON/);
  expect(await refused('d.jsonl', '{"a":"short","b":[1,null,"too"]}\n')).toMatch(
    /^CPT_INPUT_INVALID .*none of 2 texts has 13 words/,
  );
  expect(filesIn(folder)).toEqual(['a.jsonl', 'b.jsonl', 'c.txt', 'd.jsonl']);
  expect(openDescriptors(folder)).toEqual([]);
  expect((await runQuietly('decontaminate', ENGLISH)).code).toBe(2);
});

test('texts without a hit are passed over', async () => {
  const index = {
    ngrams: 1,
    add: () => true,
    find: (text: string) => (text === 'b' ? [{ evaluation: 3, ngram: 'x', matches: 1 }] : []),
  };
  const found: unknown[] = [];
  for await (const hit of findContamination(['a', 'b', 'c'], index)) found.push(hit);
  expect(found).toEqual([{ document: 1, hits: [{ evaluation: 3, ngram: 'x', matches: 1 }] }]);
});

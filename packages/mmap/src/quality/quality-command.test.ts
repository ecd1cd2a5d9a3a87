import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CORPUS_FILES, filesIn, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { runQuietly } from '../../test/run-command.ts';
import type { QualityReport } from './judge-files.ts';
import { QUALITY_RULES } from './rules.ts';

function writeCorpus(folder: string): string {
  const path = join(folder, 'a.jsonl');
  const good = 'Once more the white whale and its hunters went to sea. ';
  const texts = [good.repeat(1), 'x { y', `${good}\ufeff{}`, [good, '{'], ''];
  writeFileSync(path, texts.map((text) => JSON.stringify({ text })).join('\n'));
  return path;
}

test('counts what each rule refuses, with an example, and writes nothing', async () => {
  const folder = temporaryFolder();
  const path = writeCorpus(folder);
  const { out } = await runQuietly(
    'quality',
    path,
    '--rules',
    'c4-curly-brackets, byte-order-marks,long-lines',
    '--json',
  );
  const report = JSON.parse(out) as QualityReport;
  // 55 + 5 + 60 + 57 + 0 bytes, of which the first and the last document pass.
  expect(report).toMatchObject({ documents: 5, rejected: 3, bytes: 177, rejectedBytes: 122 });
  expect(report.rules).toEqual([
    {
      rule: 'c4-curly-brackets',
      documents: 3,
      example: {
        document: `${path}:2`,
        rule: 'c4-curly-brackets',
        value: 1,
        limit: 0,
        reason: '1 curly brackets, more than 0',
      },
    },
    {
      rule: 'byte-order-marks',
      documents: 1,
      example: {
        document: `${path}:3`,
        rule: 'byte-order-marks',
        value: 1,
        limit: 0,
        reason: '1 byte order marks, more than 0',
      },
    },
    { rule: 'long-lines', documents: 0 },
  ]);
  expect(filesIn(folder)).toEqual(['a.jsonl']);
});

test('drops on request, each document with all its reasons', async () => {
  const folder = temporaryFolder();
  const path = writeCorpus(folder);
  const drop = join(folder, 'good');
  await runQuietly('quality', path, '--rules', 'c4-curly-brackets,byte-order-marks', '--drop', drop);
  const source = readFileSync(path, 'utf8').split('\n');
  expect(readFileSync(join(drop, 'a.jsonl'), 'utf8')).toBe(`${source[0]}\n${source[4]}\n`);
  const rejects = readFileSync(`${drop}.rejects.jsonl`, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rejects.map(({ line }) => line)).toEqual([2, 3, 4]);
  expect(rejects[1]).toMatchObject({
    file: path,
    reason: 'c4-curly-brackets: 1 curly brackets, more than 0; byte-order-marks: 1 byte order marks, more than 0',
    failures: [{ rule: 'c4-curly-brackets' }, { rule: 'byte-order-marks', value: 1, limit: 0 }],
  });
});

test('real text passes nearly all rules', async () => {
  const { out } = await runQuietly('quality', ...CORPUS_FILES, '--json');
  const report = JSON.parse(out) as QualityReport;
  expect(report.rules.map(({ rule }) => rule)).toEqual(QUALITY_RULES.map(({ name }) => name));
  expect(report.documents).toBe(330);
  // Short chapters, and the refrains of the Book of Songs.
  const refused = report.rules.filter(({ documents }) => documents > 0).map(({ rule }) => rule);
  expect(refused.filter((rule) => !/^(repetition|fineweb)-|^c4-sentences$/.test(rule))).toEqual([]);
  expect(report.rejected).toBeLessThan(60);
});

test('for a person', async () => {
  const folder = temporaryFolder();
  const path = writeCorpus(folder);
  const { out } = await runQuietly('quality', path, '--rules', '-all,c4', '--rejects', join(folder, 'r.jsonl'));
  expect(out).toContain('5 of 5 documents break a rule: 177 bytes, 100.0% of the text');
  expect(out).toContain(`         3  c4-curly-brackets\n              ${path}:2: 1 curly brackets, more than 0\n`);
  expect(out).not.toContain('c4-lorem-ipsum');
  expect(out).toContain(`${join(folder, 'r.jsonl')}: 5 documents, each with its reason`);
});

test('an unknown rule is refused before anything is read', async () => {
  expect((await refusal(runQuietly('quality', '/nowhere.jsonl', '--rules', 'gofer'))).message).toContain('"gofer"');
});

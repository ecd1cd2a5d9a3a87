import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CORPUS_FILES, filesIn, openDescriptors, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { runQuietly } from '../../test/run-command.ts';
import { dedupFiles } from './dedup-files.ts';

const TEXT = 'the white whale swam on through the cold sea and was not seen again by any ship of that year';
const NEAR = `${TEXT} or the next one, as far as anybody knows who was there to look for it`;

/** Two files: repeated texts within one and across both, and a text that is nearly another. */
function writeCorpus(folder: string): string[] {
  const a = [{ text: TEXT, id: 1 }, {}, { id: 2, text: 'other' }, { text: NEAR }];
  const b = [{ text: ` ${TEXT}\n`, from: 'b' }, { text: 'other' }, { text: `${NEAR}!` }, { text: '' }];
  writeFileSync(
    join(folder, 'a.jsonl'),
    a.map((line) => (line.text === undefined ? '' : JSON.stringify(line))).join('\n'),
  );
  writeFileSync(join(folder, 'b.jsonl'), `${b.map((line) => JSON.stringify(line)).join('\n')}\n`);
  return [join(folder, 'a.jsonl'), join(folder, 'b.jsonl')];
}

test('reports duplicates with their originals, and writes nothing', async () => {
  const folder = temporaryFolder();
  const [a, b] = writeCorpus(folder) as [string, string];
  const report = JSON.parse((await runQuietly('dedup', a, b, '--json')).out) as Record<string, unknown>;
  expect(report).toMatchObject({ method: 'exact', documents: 7, empty: 1, duplicates: 2, clusters: 2 });
  expect(report.examples).toEqual([
    { document: `${b}:1`, duplicateOf: `${a}:1`, similarity: 1, excerpt: ` ${TEXT}`.slice(0, 80) },
    { document: `${b}:2`, duplicateOf: `${a}:3`, similarity: 1, excerpt: 'other' },
  ]);
  // 92 + 5 + 162 in the first file, 94 + 5 + 163 + 0 in the second.
  const bytes = 2 * TEXT.length + 2 + 10 + 2 * NEAR.length + 1;
  expect(report).toMatchObject({ bytes, savedBytes: TEXT.length + 7, savedShare: (TEXT.length + 7) / bytes });
  expect(report).not.toHaveProperty('bands');
  expect(filesIn(folder)).toEqual(['a.jsonl', 'b.jsonl']);
});

test('minhash also finds what differs in dress, and drops it with its reason', async () => {
  const folder = temporaryFolder();
  const [a, b] = writeCorpus(folder) as [string, string];
  const drop = join(folder, 'out');
  const rejects = join(folder, 'bad.jsonl');
  const { out } = await runQuietly('dedup', folder, '--minhash', '--drop', drop, '--rejects', rejects, '--json');
  expect(JSON.parse(out)).toMatchObject({
    method: 'minhash',
    duplicates: 3,
    bands: 14,
    rows: 8,
    shingle: 5,
    output: { folder: drop, files: [join(drop, 'a.jsonl'), join(drop, 'b.jsonl')], rejects },
  });
  expect(readFileSync(join(drop, 'a.jsonl'), 'utf8')).toBe(
    `${JSON.stringify({ text: TEXT, id: 1 })}\n${JSON.stringify({ id: 2, text: 'other' })}\n${JSON.stringify({ text: NEAR })}\n`,
  );
  expect(readFileSync(join(drop, 'b.jsonl'), 'utf8')).toBe('{"text":""}\n');
  const written = readFileSync(rejects, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const reason = 'near-duplicate';
  expect(written).toEqual([
    { file: b, line: 1, reason, duplicateOf: `${a}:1`, text: ` ${TEXT}\n` },
    { file: b, line: 2, reason, duplicateOf: `${a}:3`, text: 'other' },
    { file: b, line: 3, reason, duplicateOf: `${a}:4`, text: `${NEAR}!` },
  ]);
  expect(openDescriptors(folder)).toEqual([]);
});

test('rejects of the exact method are duplicates', async () => {
  const folder = temporaryFolder();
  const files = writeCorpus(folder);
  const rejects = join(folder, 'bad.jsonl');
  await runQuietly('dedup', ...files, '--rejects', rejects);
  expect(readFileSync(rejects, 'utf8').match(/"reason":"duplicate"/g)).toHaveLength(2);
  expect(filesIn(folder)).toEqual(['a.jsonl', 'b.jsonl', 'bad.jsonl']);
});

test('real text has no duplicates; given twice it is all duplicate', async () => {
  const folder = temporaryFolder();
  const copy = join(folder, 'copy.jsonl');
  writeFileSync(copy, readFileSync(CORPUS_FILES[1] as string));
  expect(await dedupFiles({ inputs: CORPUS_FILES, method: 'minhash' })).toMatchObject({
    documents: 330,
    duplicates: 0,
  });
  const twice = { inputs: [...CORPUS_FILES, copy], method: 'minhash' } as const;
  const report = await dedupFiles(twice);
  expect(report).toMatchObject({ documents: 474, duplicates: 144, clusters: 144 });
  expect(report.examples).toHaveLength(5);
  const { seconds: _, ...same } = report;
  expect(await dedupFiles({ ...twice, sortKeys: 100 })).toMatchObject(same);
});

test('for a person', async () => {
  const folder = temporaryFolder();
  const [a, b] = writeCorpus(folder) as [string, string];
  const { out } = await runQuietly(
    'dedup',
    a,
    b,
    '--threshold-report',
    '--bands',
    '10',
    '--rows',
    '8',
    '--drop',
    `${folder}/out`,
  );
  const saved = TEXT.length + 2 + 5 + NEAR.length + 1;
  const share = (100 * saved) / (saved + TEXT.length + 5 + NEAR.length);
  expect(out).toContain(
    `3 of 7 documents repeat an earlier one, in 3 clusters: ${saved} bytes, ${share.toFixed(1)}% of the text`,
  );
  expect(out).toContain('without text, not compared: 1\n');
  expect(out).toContain(`${b}:3 = ${a}:4 (100.0% of shingles shared)`);
  expect(out).toContain('minhash: 10 bands of 8 hashes, shingles of 5, threshold 0.75'); // (1/10)^(1/8)
  expect(out).toMatch(
    /\n {2}similarity {2}found\n {8}0\.50 {2}3\.8%\n(?: {8}0\.\d\d {2}.*\n){8} {8}0\.95 {2}100\.0%\n/,
  ); // 1 - (1 - 0.5^8)^10
  expect(out).toContain('4 documents kept');
  expect(out).toContain(`${folder}/out.rejects.jsonl`);
});

test.each([
  [['--exact', '--minhash'], 'cannot be used with'],
  [['--minhash', '--bands', '0'], 'give a whole number above 0'],
  [['--minhash', '--rows', '1.5'], 'give a whole number above 0'],
])('wrong use %j', async (args, words) => {
  const { code, log } = await runQuietly('dedup', CORPUS_FILES[0] as string, ...args);
  expect(code).toBe(2);
  expect(log).toContain(words);
});

test('outputs that are there are refused before the corpus is read, and a bad line leaves none', async () => {
  const folder = temporaryFolder();
  const [a] = writeCorpus(folder) as [string];
  const seen: unknown[] = [];
  const options = { inputs: [a], drop: join(folder, 'out'), onProgress: (progress: unknown) => seen.push(progress) };
  writeFileSync(join(folder, 'out.rejects.jsonl'), '');
  expect((await refusal(dedupFiles(options))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
  expect(seen).toEqual([]);
  writeFileSync(a, '{"text":"a"}\n{"text":"a"}\nbroken\n');
  expect((await refusal(dedupFiles({ ...options, rejects: join(folder, 'r.jsonl') }))).code).toBe(
    'CPT_FORMAT_JSON_LINE',
  );
  expect(filesIn(folder)).toEqual(['a.jsonl', 'b.jsonl', 'out.rejects.jsonl']);
});

test('a file that changes between the passes is refused, and nothing is written', async () => {
  const folder = temporaryFolder();
  const [a, b] = writeCorpus(folder) as [string, string];
  let passes = 0;
  const onProgress = ({ bytesRead, bytesTotal }: { bytesRead: number; bytesTotal: number }) => {
    if (bytesRead === bytesTotal && passes++ === 0) writeFileSync(b, readFileSync(b, 'utf8').replace('other', 'OTHER'));
  };
  const error = await refusal(dedupFiles({ inputs: [a, b], drop: join(folder, 'out'), onProgress }));
  expect(error.message).toBe(`${b}: changed between two passes; run again`);
  expect(filesIn(folder).filter((name) => name.includes('out') && name !== 'out')).toEqual([]);
});

test('the README shows the options that exist', async () => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
  for (const command of ['dedup', 'quality', 'decontaminate']) {
    const { out } = await runQuietly(command, '--help');
    for (const [option] of out.matchAll(/--[a-z-]+/g)) if (option !== '--help') expect(readme).toContain(option);
  }
});

import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SOURCE_ARGV } from '../../test/encoding.ts';
import { CORPUS_FILES, filesIn, keptFolder, refusal, TOKENIZER, temporaryFolder } from '../../test/fixtures.ts';
import { type BuildTuning, buildDataset } from '../build.ts';
import type { BuildOptions, BuildProgress } from '../build-plan.ts';

/** Small batches and a checkpoint after each: many moments in a short build. */
const TUNING: BuildTuning = { batchBytes: 16384, checkpointMs: 0 };
const inputs: string[] = [];
const reference: Record<string, Buffer> = {};
let folder = '';

beforeAll(async () => {
  folder = keptFolder();
  const lines = CORPUS_FILES.map((file) => readFileSync(file, 'utf8').split('\n').slice(0, 40).join('\n'));
  const [english, chinese] = lines as [string, string];
  const files: [string, string | Buffer][] = [
    ['a.jsonl', `${english}\n`],
    ['b.jsonl.gz', gzipSync(`${chinese}\n`)],
    ['c.jsonl', `{"text":["two","sequences"]}\n{"text":""}\noops\n${english}\n`],
  ];
  for (const [name, content] of files) {
    inputs.push(join(folder, name));
    writeFileSync(join(folder, name), content);
  }
  mkdirSync(join(folder, 'whole'));
  await buildDataset(options(join(folder, 'whole/set')));
  for (const name of readdirSync(join(folder, 'whole'))) reference[name] = readFileSync(join(folder, 'whole', name));
});
afterAll(() => rmSync(folder, { recursive: true }));

const options = (output: string): BuildOptions => ({
  inputs,
  tokenizer: TOKENIZER,
  output,
  heldOut: 0.1,
  onBad: 'skip',
  maxBad: 0.1,
});

function expectReference(output: string): void {
  expect(filesIn(output)).toEqual(Object.keys(reference).sort());
  for (const [name, content] of Object.entries(reference)) {
    expect(readFileSync(join(output, name)).equals(content), name).toBe(true);
  }
}

function runChild(output: string, killAt: number, more: Partial<BuildOptions> = {}) {
  const told = { options: { ...options(join(output, 'set')), ...more }, tuning: TUNING, killAt };
  const script = join(import.meta.dirname, '../../test/killed-build.mjs');
  const child = spawnSync(process.execPath, [...SOURCE_ARGV, script, JSON.stringify(told)], { encoding: 'utf8' });
  return { signal: child.signal, out: child.stdout, err: child.stderr };
}

test('kill -9 at several moments, and each time the same call again: the bytes of one uninterrupted build', () => {
  const output = temporaryFolder();
  expect(runChild(output, 1).signal).toBe('SIGKILL'); // before any checkpoint
  expect(filesIn(output).every((name) => name.startsWith('set.build'))).toBe(true);
  const second = runChild(output, 6); // within the first file
  expect(second.signal).toBe('SIGKILL');
  expect(second.out).not.toContain('continues an unfinished build');
  const third = runChild(output, 5, { workers: 1 }); // within the packed one, which begins anew
  expect(third.out).toContain('continues an unfinished build');
  expect(third.signal).toBe('SIGKILL');
  const last = runChild(output, 0);
  expect(last.err).toBe('');
  const [, again] = /signs of progress: (\d+)/.exec(last.out) ?? [];
  expect(Number(again)).toBeLessThan(30);
  expectReference(output);
});

/** A build that is aborted at its N-th sign of progress. */
async function abortAt(
  output: string,
  count: number,
  more: Partial<BuildOptions> = {},
  tuning = TUNING,
): Promise<string[]> {
  const abort = new AbortController();
  const notices: string[] = [];
  let seen = 0;
  const stopped = buildDataset(
    {
      ...options(join(output, 'set')),
      ...more,
      signal: abort.signal,
      onNotice: (notice) => notices.push(notice),
      onProgress: () => {
        if (++seen === count) abort.abort(new Error('enough'));
      },
    },
    tuning,
  );
  await expect(stopped).rejects.toThrow('enough');
  return notices;
}

test('an interrupt after a checkpoint keeps what is done and says so; the same call continues', async () => {
  const output = temporaryFolder();
  const notices = await abortAt(output, 8);
  expect(notices).toEqual([
    `${join(output, 'set')}.build keeps what is done: the same command continues it, --restart drops it`,
  ]);
  expect(filesIn(output).filter((name) => !name.startsWith('set.build'))).toEqual([]);
  expect(filesIn(join(output, 'set.build')).filter((name) => name.startsWith('lock'))).toEqual([]);
  const again: string[] = [];
  const seen: BuildProgress[] = [];
  const watched = {
    onNotice: (notice: string) => again.push(notice),
    onProgress: (sign: BuildProgress) => seen.push(sign),
  };
  await buildDataset({ ...options(join(output, 'set')), ...watched }, TUNING);
  const [first] = seen as [BuildProgress];
  expect(first.earlier?.bytesRead).toBeGreaterThan(0);
  expect(first.earlier?.bytesRead).toBeLessThan(first.bytesRead);
  expect(first.earlier?.tokens).toBeLessThan(first.tokens);
  expect(again[0]).toMatch(/^continues an unfinished build: \d+ documents are there$/);
  expectReference(output);
});

test('an interrupt before any checkpoint leaves nothing', async () => {
  const output = temporaryFolder();
  expect(await abortAt(output, 8, {}, { batchBytes: 16384 })).toEqual([]);
  expect(filesIn(output)).toEqual([]);
});

test('a build of something else is not continued; --restart begins anew', async () => {
  const output = temporaryFolder();
  await abortAt(output, 4);
  const others: [Partial<BuildOptions>, string][] = [
    [{ eod: 5 }, 'eod was 1000, now 5'],
    [{ heldOut: 0.2 }, 'heldOut was 0.1, now 0.2'],
    [{ shuffle: 1 }, 'shuffle was null, now 1'],
    [{ textKey: 'body' }, 'textKey was "text", now "body"'],
    [{ onBad: 'fail' }, 'onBad was "skip", now "fail"'],
    [{ inputs: inputs.slice(1) }, 'there were 3 inputs, now 2'],
    [
      { inputs: [inputs[1] as string, inputs[0] as string, inputs[2] as string] },
      `input 1 was ${inputs[0]}, now ${inputs[1]}`,
    ],
  ];
  for (const [other, why] of others) {
    const error = await refusal(buildDataset({ ...options(join(output, 'set')), ...other }, TUNING));
    expect(error.code).toBe('CPT_INPUT_RESUME_MISMATCH');
    expect(error.message).toContain(why);
    expect(error.message).toContain('--restart');
  }
  await buildDataset({ ...options(join(output, 'set')), restart: true }, TUNING);
  expectReference(output);
});

test('what does not change the bytes may change: workers, batches, when to give up, a laxer policy', async () => {
  const output = temporaryFolder();
  const strict = { onBad: 'fail' as const, inputs: inputs.slice(0, 2) };
  await abortAt(output, 8, strict);
  const notices: string[] = [];
  await buildDataset({
    ...options(join(output, 'set')),
    ...strict,
    onBad: 'skip',
    maxBad: 1,
    onNotice: (notice) => notices.push(notice),
  });
  expect(notices[0]).toContain('continues');
});

async function copiedInputs(count: number): Promise<{ output: string; copies: string[] }> {
  const output = temporaryFolder();
  const copies = inputs.map((path, i) => join(temporaryFolder(), `${i}-${path.split('/').at(-1)}`));
  copies.forEach((copy, i) => {
    writeFileSync(copy, readFileSync(inputs[i] as string));
  });
  await abortAt(output, count, { inputs: copies });
  return { output, copies };
}

test('an input that was read and is another now is refused: by size, or by digest when only its time is new', async () => {
  const { output, copies } = await copiedInputs(8);
  const [first] = copies as [string];
  const again = () => buildDataset({ ...options(join(output, 'set')), inputs: copies }, TUNING);
  const content = readFileSync(first);
  appendFileSync(first, '{"text":"more"}\n');
  expect((await refusal(again())).message).toContain(
    `${first} had ${content.length} bytes, now ${content.length + 16}`,
  );
  const changed = Buffer.from(content);
  changed[20] = 0x78;
  writeFileSync(first, changed);
  utimesSync(first, 1e9, 1e9);
  expect((await refusal(again())).message).toContain(`${first} was changed`);
  writeFileSync(first, content);
  utimesSync(first, 2e9, 2e9);
  expect((await again()).sha256.bin).toBe(JSON.parse(String(reference['set.json'])).sha256.bin);
});

test('a file that changed while it was read is read anew, from where it begins', async () => {
  const { output, copies } = await copiedInputs(4);
  const [first] = copies as [string];
  const more = `{"text":"new"}\n${readFileSync(first, 'utf8')}`;
  writeFileSync(first, more);
  expect((await refusal(buildDataset({ ...options(join(output, 'set')), inputs: copies }, TUNING))).message).toContain(
    'the only input read so far was changed',
  );
});

test('files of the unfinished build that are not what was noted are refused', async () => {
  for (const damage of [
    (path: string) => writeFileSync(path, readFileSync(path).subarray(0, 100)),
    (path: string) => writeFileSync(path, readFileSync(path).fill(0, 10, 20)),
  ]) {
    const output = temporaryFolder();
    await abortAt(output, 8);
    damage(join(output, 'set.build/train.bin'));
    const error = await refusal(buildDataset(options(join(output, 'set')), TUNING));
    expect(error.code).toBe('CPT_INPUT_RESUME_MISMATCH');
    expect(error.message).toContain('cannot be continued');
  }
});

test('a build that was stopped while it named its files names the rest, also without --force and without its inputs', async () => {
  const output = temporaryFolder();
  mkdirSync(join(output, 'set.json/in-the-way'), { recursive: true });
  await expect(buildDataset({ ...options(join(output, 'set')), force: true })).rejects.toThrow();
  expect(existsSync(join(output, 'set.bin'))).toBe(true);
  expect(existsSync(join(output, 'set.idx'))).toBe(false);
  rmSync(join(output, 'set.json'), { recursive: true });
  const result = await buildDataset(options(join(output, 'set')));
  expectReference(output);
  expect(result.sha256).toEqual(JSON.parse(String(reference['set.json'])).sha256);
});

test('§7 output exists: a process that builds the same dataset is not disturbed; a folder of somebody else is not emptied', async () => {
  const output = temporaryFolder();
  const first = buildDataset({ ...options(join(output, 'set')), onProgress: () => undefined }, TUNING);
  // The same process may not hold it twice: its lock names this very process.
  const second = await Promise.allSettled([first, buildDataset(options(join(output, 'set')), TUNING)]);
  const failed = second.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
  expect(failed).toHaveLength(1);
  expect(failed[0]?.reason.code).toMatch(/^CPT_INPUT_(BUILD_RUNNING|OUTPUT_EXISTS)$/);
  const other = temporaryFolder();
  mkdirSync(join(other, 'set.build'));
  writeFileSync(join(other, 'set.build/notes.txt'), 'mine');
  expect((await refusal(buildDataset(options(join(other, 'set'))))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
  expect(filesIn(other)).toEqual(['set.build', 'set.build/notes.txt']);
});

test('a build whose folder was taken over stops before it gives names, and leaves the folder to the heir', async () => {
  const output = join(temporaryFolder(), 'set');
  const heir = JSON.stringify({ pid: 1, began: '0', kernel: 'another', host: 'another', token: 'heir' });
  const onProgress = () => writeFileSync(`${output}.build/lock-2`, heir);
  const error = await refusal(buildDataset({ ...options(output), onProgress }, TUNING));
  expect(error).toMatchObject({ code: 'CPT_INPUT_BUILD_RUNNING' });
  expect(error.message).toContain('took it over');
  expect(existsSync(`${output}.idx`)).toBe(false);
  expect(existsSync(`${output}.build/lock-2`)).toBe(true);
});

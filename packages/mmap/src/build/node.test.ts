import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { batchEncoder, engineSource, linesBatch, RULES, SOURCE_ARGV } from '../../test/encoding.ts';
import { refusal, temporaryFolder } from '../../test/fixtures.ts';
import { coreCount, countLinesBefore, firstLineFrom, freeBytes, startThread } from './node.ts';
import { BatchLost, createThreadPool, type EncoderPool } from './pool.ts';

const pool = (size: number, more: string[] = []): EncoderPool =>
  createThreadPool(size, (events) =>
    startThread({ engine: engineSource(), rules: RULES }, events, [...SOURCE_ARGV, ...more]),
  );

/** Ends a thread that is given a batch with this word in it, as often as the file has letters. */
function killer(word: string, times: number): string[] {
  const file = join(temporaryFolder(), 'left');
  writeFileSync(file, 'x'.repeat(times));
  const code = `import { parentPort } from 'node:worker_threads'; import { readFileSync, writeFileSync } from 'node:fs';
    const on = parentPort.on.bind(parentPort);
    parentPort.on = (event, listener) => on(event, (message) => {
      const left = readFileSync(${JSON.stringify(file)}, 'utf8');
      if (left !== '' && Buffer.from(message.work.bytes).includes(${JSON.stringify(word)})) {
        writeFileSync(${JSON.stringify(file)}, left.slice(1));
        process.exit(3);
      }
      listener(message);
    });`;
  return ['--import', `data:text/javascript,${encodeURIComponent(code)}`];
}

test('threads give what the same code gives here, in parts of a large buffer too', async () => {
  const threads = pool(2);
  const encode = await batchEncoder();
  const whole = Buffer.from('{"text":"one"}\n{"text":["two","子曰"]}\noops\n{"text":"<|endoftext|>"}\n');
  const results = await Promise.all([
    threads.encode(linesBatch(whole)),
    threads.encode(linesBatch('', { bytes: whole.subarray(0, 15) })),
  ]);
  expect(results[0]).toEqual(await encode(linesBatch(whole)));
  expect(results[1]).toEqual(await encode(linesBatch('', { bytes: whole.subarray(0, 15) })));
  await threads.close();
});

test('§7 worker crash: a batch that kills a thread once is encoded by the next', async () => {
  const threads = pool(1, killer('poison', 1));
  const [first, second] = await Promise.all([
    threads.encode(linesBatch('{"text":"poison"}\n')),
    threads.encode(linesBatch('{"text":"a"}\n')),
  ]);
  expect([first.largest.length, second.largest.length]).toEqual([1, 1]);
  await threads.close();
});

test('§7 worker crash: one that does it again is given up, the others are not', async () => {
  const threads = pool(1, killer('poison', 2));
  const first = threads.encode(linesBatch('{"text":"poison"}\n'));
  const second = threads.encode(linesBatch('{"text":"a"}\n'));
  await expect(first).rejects.toThrow(BatchLost);
  expect((await second).largest).toHaveLength(1);
  await threads.close();
});

test('a thread that cannot load its engine says why, with the code', async () => {
  const setup = { engine: { tokenizerJson: Buffer.from('{}'), file: 'broken.json' }, rules: RULES };
  const threads = createThreadPool(1, (events) => startThread(setup, events, SOURCE_ARGV));
  const error = await refusal(threads.encode(linesBatch('{"text":"a"}\n')));
  expect([error.code, error.name]).toEqual(['CPT_FORMAT_TOKENIZER', 'FormatError']);
  await threads.close();
});

test('the first line from a byte on, and the lines before one', async () => {
  const file = join(temporaryFolder(), 'a');
  writeFileSync(file, `ab\n${'c'.repeat(100_000)}\n\nd`);
  const found = await Promise.all(
    [0, 1, 2, 3, 4, 100_003, 100_004, 100_005, 100_006].map((from) => firstLineFrom(file, from)),
  );
  expect(found).toEqual([0, 3, 3, 3, 100_004, 100_004, 100_004, 100_005, 100_006]);
  expect(await Promise.all([0, 2, 3, 100_006].map((end) => countLinesBefore(file, end)))).toEqual([0, 0, 1, 3]);
});

test('free room is known for folders that are not there yet', async () => {
  const folder = temporaryFolder();
  const free = await freeBytes(join(folder, 'a/b/c'));
  expect(free).toBeGreaterThan(0);
  expect(coreCount()).toBeGreaterThan(0);
});

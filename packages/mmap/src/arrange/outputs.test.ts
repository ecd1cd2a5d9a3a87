import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesIn, openDescriptors, temporaryFolder } from '../../test/fixtures.ts';
import { sidecar } from '../../test/sidecars.ts';
import { startProgress, timed, writeOutputs } from './outputs.ts';

const plan = (prefixes: string[]) => ({
  prefixes,
  dtype: 'int32' as const,
  hasModes: false,
  force: false,
  tokenizer: sidecar().tokenizer,
  origin: { command: 'split' as const },
});

test('when one output fails, none has a name and no file stays open', async () => {
  const folder = temporaryFolder();
  const prefixes = ['a', 'b'].map((name) => join(folder, name));
  const fill = writeOutputs(plan(prefixes), async ([a]) => {
    await a?.addDocument([Int32Array.of(1)]);
    return []; // the second one holds no token
  });
  await expect(fill).rejects.toMatchObject({ code: 'CPT_INPUT_EMPTY_DATASET' });
  expect(filesIn(folder)).toEqual([]);
  expect(openDescriptors(folder)).toEqual([]);
});

test('progress is told rarely, and at the end', () => {
  const seen: number[] = [];
  const report = startProgress(10 << 20, ({ bytesRead }) => void seen.push(bytesRead));
  for (let i = 0; i < 10 << 10; i++) report(1, 256, 1024);
  expect(seen.length).toBeLessThan(5);
  expect(seen.at(-1)).toBe(10 << 20);
});

test('times are of the work', async () => {
  const { value, seconds, cpuSeconds } = await timed(async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { value: 7 };
  });
  expect(value).toBe(7);
  expect(seconds).toBeGreaterThan(0.015);
  expect(cpuSeconds).toBeGreaterThanOrEqual(0);
});

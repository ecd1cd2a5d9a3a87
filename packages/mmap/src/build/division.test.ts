import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { refusal, temporaryFolder } from '../../test/fixtures.ts';
import { listInputs } from '../documents/inputs.ts';
import { divideInputs } from './division.ts';

function writeInputs(contents: Record<string, string>): string[] {
  const folder = temporaryFolder();
  return Object.entries(contents).map(([name, content]) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  });
}

test('the parts in order are the whole, each line in one of them', async () => {
  const line = fc.string({ unit: 'grapheme-ascii', maxLength: 12 }).map((text) => `${text.replaceAll('\n', '')}\n`);
  const files = fc.array(fc.array(line, { maxLength: 8 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(files, fc.boolean(), fc.integer({ min: 1, max: 6 }), async (lines, endsBroken, of) => {
      const content = lines.map((all) => (endsBroken ? all.join('').replace(/\n$/, '') : all.join('')));
      const inputs = await listInputs(writeInputs(Object.fromEntries(content.map((text, i) => [`${i}.jsonl`, text]))));
      let joined = '';
      for (let index = 1; index <= of; index++) {
        const parts = await divideInputs(inputs, { index, of }).catch(() => []);
        for (const { path, range } of parts) {
          const bytes = readFileSync(path).subarray(range?.from ?? 0, range?.to);
          if (range && range.to < readFileSync(path).length) expect(bytes.at(-1)).toBe(0x0a);
          joined += bytes.toString();
        }
      }
      expect(joined).toBe(content.join(''));
    }),
    { numRuns: 60 },
  );
});

test('bytes are divided evenly; a file that cannot be cut goes whole to the part with its middle', async () => {
  const inputs = await listInputs(
    writeInputs({ 'a.jsonl': '1234567\n'.repeat(10), 'b.txt': 'x'.repeat(60), 'c.jsonl': '1234567\n'.repeat(10) }),
  );
  const shown = async (index: number) =>
    (await divideInputs(inputs, { index, of: 4 })).map(
      ({ path, range }) => `${basename(path)} ${range?.from}-${range?.to}`,
    );
  // 220 bytes: borders at 55, 110 and 165, which are a:55, the middle of b (80 + 30), and c:25.
  expect(await Promise.all([1, 2, 3, 4].map(shown))).toEqual([
    ['a.jsonl 0-56'],
    ['a.jsonl 56-80'],
    ['b.txt undefined-undefined', 'c.jsonl 0-32'],
    ['c.jsonl 32-80'],
  ]);
});

test('a part without input, and stdin, are refused', async () => {
  const inputs = await listInputs(writeInputs({ 'a.txt': 'abc' }));
  const error = await refusal(divideInputs(inputs, { index: 1, of: 8 }));
  expect(error.code).toBe('CPT_INPUT_EMPTY_DATASET');
  expect(error.message).toBe('part 1/8 holds none of the input (3 bytes in 1 files); use fewer parts');
  expect((await refusal(divideInputs(await listInputs(['-']), { index: 1, of: 2 }))).code).toBe('CPT_INPUT_INVALID');
});

import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openDescriptors, temporaryFolder } from '../../test/fixtures.ts';
import { temporaryRuns } from './node.ts';

test('gives back what was appended, and leaves nothing behind', async () => {
  const parent = temporaryFolder();
  const runs = await temporaryRuns(parent);
  await runs.append(Uint8Array.of(1, 2, 3));
  await runs.append(Uint8Array.of(4, 5));
  const into = new Uint8Array(3);
  await runs.readInto(into, 1);
  expect([...into]).toEqual([2, 3, 4]);
  await expect(runs.readInto(into, 4)).rejects.toThrow('became shorter');
  await runs.close();
  expect(readdirSync(parent)).toEqual([]);
  expect(openDescriptors(parent)).toEqual([]);
});

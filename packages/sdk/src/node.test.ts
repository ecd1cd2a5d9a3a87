import { createHash } from 'node:crypto';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { localFolder } from './node.ts';

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'local-folder-'));
});
afterEach(() => rm(path, { recursive: true }));

it('shows names, lengths, times and digests', async () => {
  const bytes = Buffer.alloc(9 * 1024 * 1024, 'weights');
  await writeFile(join(path, 'model.safetensors'), bytes);
  await utimes(join(path, 'model.safetensors'), 10, 12.3456);
  const folder = localFolder(path);
  expect(await folder.list()).toEqual([{ name: 'model.safetensors', bytes: bytes.length, modifiedMs: 12_345 }]);
  expect(await folder.sha256?.('model.safetensors')).toBe(createHash('sha256').update(bytes).digest('hex'));
});

it('says what is missing, and stops when it is told to', async () => {
  const folder = localFolder(path);
  await expect(folder.sha256?.('none')).rejects.toMatchObject({ code: 'CPT_INPUT_FILE_MISSING' });
  await writeFile(join(path, 'a'), 'a');
  const reason = new Error('enough');
  await expect(folder.sha256?.('a', AbortSignal.abort(reason))).rejects.toBe(reason);
});

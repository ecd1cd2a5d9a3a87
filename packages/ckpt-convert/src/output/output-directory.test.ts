import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withDirectory } from '../../test/tiny-checkpoint.ts';
import type { JournalStart } from './journal.ts';
import { nodeDisk } from './node.ts';
import { openWorkingOutput, requireFinished, WORK_FOLDER } from './output-directory.ts';
import { isWeights } from './same-output.ts';

const start: JournalStart = { journal: 1, plan: 'p', facts: {}, source: [], outputShards: 1, force: false };
const last = ['b.safetensors', 'model.safetensors.index.json'];
const order = { weights: ['b.safetensors'], final: 'model.safetensors.index.json', isStale: isWeights };

async function fill(directory: string) {
  const output = await openWorkingOutput(directory, nodeDisk);
  await output.start(start, false);
  for (const name of ['config.json', ...last]) await output.addFile(name, name);
  return output;
}

describe('openWorkingOutput', () => {
  it('shows nothing under a final name before the commit, and leaves nothing else after it', async () => {
    await withDirectory(async (root) => {
      await writeFile(join(root, 'old.safetensors'), '');
      const output = await fill(root);
      expect(await readdir(root)).toEqual([WORK_FOLDER, 'old.safetensors']);
      await output.commit(order);
      await output.close();
      expect((await readdir(root)).sort()).toEqual(['b.safetensors', 'config.json', 'model.safetensors.index.json']);
      expect(await readFile(join(root, 'b.safetensors'), 'utf8')).toBe('b.safetensors');
    });
  });

  it('shows neither weights nor index when a file before them cannot take its place', async () => {
    await withDirectory(async (root) => {
      await mkdir(join(root, 'config.json', 'full'), { recursive: true });
      const output = await fill(root);
      await expect(output.commit(order)).rejects.toThrow(
        expect.objectContaining({
          code: 'CPT_DISK_FAILED',
          message: expect.stringContaining('config.json: renaming failed'),
        }),
      );
      await output.close();
      expect(await readdir(root)).toEqual([WORK_FOLDER, 'config.json']);
      expect(() => requireFinished(root)).toThrow(`${root}: its conversion is not finished: 0 of 1 files`);
    });
  });

  it('takes a directory away that it made, and only its own files from one that was there', async () => {
    await withDirectory(async (root) => {
      await (await fill(join(root, 'made'))).close();
      expect(existsSync(join(root, 'made'))).toBe(false);
      await mkdir(join(root, 'there'));
      await writeFile(join(root, 'there', 'mine'), '');
      const output = await fill(join(root, 'there'));
      const open = await output.createOutput('c.safetensors');
      open.write(new Uint8Array(10));
      await output.close();
      expect(await readdir(join(root, 'there'))).toEqual(['mine']);
    });
  });

  it('writes nothing more once another process has taken over', async () => {
    await withDirectory(async (root) => {
      const output = await fill(root);
      await writeFile(join(root, WORK_FOLDER, 'lock-2'), '{"pid":1}');
      const lost = expect.objectContaining({ code: 'CPT_INPUT_OUTPUT_LOCKED' });
      await expect(output.finishFile({ name: 'b.safetensors', bytes: 1, sha256: '' })).rejects.toThrow(lost);
      await expect(output.commit(order)).rejects.toThrow(lost);
      await output.close();
      expect(await readdir(root)).toEqual([WORK_FOLDER]);
      expect(await readdir(join(root, WORK_FOLDER))).toContain('lock-2');
    });
  });
});

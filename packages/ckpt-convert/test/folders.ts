import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describeProcess } from '../src/output/node.ts';

/** Path → sha256 of every file below a folder, hidden ones too; folders have an empty one. */
export async function treeOf(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  for (const entry of entries.sort((a, b) => (join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1))) {
    const path = join(entry.parentPath, entry.name);
    const digest = entry.isFile()
      ? createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
      : '';
    found[relative(directory, path)] = digest;
  }
  return found;
}

/** The lock of a process that is no more, in the folder of work or of a part in it. */
export async function leaveDeadLock(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'lock-1'), JSON.stringify({ ...describeProcess(), began: '1' }));
}

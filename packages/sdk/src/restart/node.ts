import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FolderTree } from './checkpoints.ts';

/** A folder of this machine with all below it, such as a mounted NAS. What is not there is empty; other failures are thrown. */
export function localTree(root: string): FolderTree {
  return {
    async list(path) {
      const folder = join(root, path);
      const names = await readdir(folder).catch(absent);
      const found = await Promise.all((names ?? []).map((name) => stat(join(folder, name)).catch(absent)));
      return (names ?? []).flatMap((name, index) => {
        const entry = found[index];
        return entry ? [{ name, bytes: entry.size, isFolder: entry.isDirectory() }] : []; // a link that leads nowhere
      });
    },
    readText: (path) => readFile(join(root, path), 'utf8').catch(absent),
    async readEnd(path, bytes) {
      const file = await open(join(root, path));
      try {
        const { size } = await file.stat();
        const end = new Uint8Array(Math.min(bytes, size));
        await file.read(end, 0, end.byteLength, size - end.byteLength);
        return end;
      } finally {
        await file.close();
      }
    },
  };
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import type { FolderView } from './folder.ts';

export * from './restart/node.ts';
export * from './submit/node.ts';

/**
 * A folder as this machine sees it, such as a mounted NAS.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING`, from its methods, for what is not there.
 */
export function localFolder(path: string): FolderView {
  return {
    async list() {
      const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => missing(path, error));
      const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
      const sizes = await Promise.all(files.map(({ name }) => stat(join(path, name)).catch(() => undefined)));
      return files.flatMap(({ name }, index) => {
        const found = sizes[index];
        // Whole milliseconds, as a record keeps them.
        return found?.isFile() ? [{ name, bytes: found.size, modifiedMs: Math.floor(found.mtimeMs) }] : []; // a link that leads nowhere is no file
      });
    },
    readText: (name) => readFile(join(path, name), 'utf8').catch((error: unknown) => missing(join(path, name), error)),
    async sha256(name, signal) {
      const hash = createHash('sha256');
      const bytes = createReadStream(join(path, name), { highWaterMark: 4 * 1024 * 1024, signal });
      try {
        for await (const chunk of bytes) hash.update(chunk);
      } catch (error) {
        signal?.throwIfAborted();
        missing(join(path, name), error);
      }
      return hash.digest('hex');
    },
  };
}

function missing(path: string, cause: unknown): never {
  throw new InvalidInputError(
    'CPT_INPUT_FILE_MISSING',
    `${path}: cannot be read; check the path and the mount`,
    { file: path },
    { cause },
  );
}

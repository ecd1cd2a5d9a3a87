import { closeSync, openSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { commitFile, temporaryPath } from '@pai-cpt/core/node';
import type { OutputFile } from '../execute.ts';
import { type DiskCalls, naming, writeAll } from '../output/disk.ts';
import { nodeDisk } from '../output/node.ts';

/** Files under temporary names, each renamed to its own when it is finished. */
export interface PendingFiles {
  /** Makes the file's directory too. Its writes throw CptError `CPT_DISK_FULL`, `CPT_DISK_FAILED`. */
  create(path: string): Promise<OutputFile>;
  /** Closes and removes what is not finished. */
  discard(): Promise<void>;
}

export function openPendingFiles(disk: DiskCalls = nodeDisk): PendingFiles {
  const open = new Map<string, number>();
  return {
    async create(path) {
      await mkdir(dirname(path), { recursive: true });
      const temporary = temporaryPath(path);
      const fd = openSync(temporary, 'wx');
      open.set(temporary, fd);
      return {
        write(bytes) {
          naming(path, 'writing', () => writeAll(disk, fd, bytes, path), 'run again');
        },
        async finish() {
          naming(path, 'flushing', () => disk.sync(fd), 'run again');
          open.delete(temporary);
          closeSync(fd);
          await commitFile(temporary, path);
        },
      };
    },
    async discard() {
      for (const [temporary, fd] of open) {
        closeSync(fd);
        await rm(temporary, { force: true });
      }
      open.clear();
    },
  };
}

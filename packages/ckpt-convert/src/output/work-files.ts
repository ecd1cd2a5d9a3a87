import { join } from 'node:path';
import type { OutputFile } from '../execute.ts';
import { type DiskCalls, naming, writeAll } from './disk.ts';

/** The files of one folder, written so that every failure names the file. */
export interface WorkFiles {
  path(name: string): string;
  create(name: string): OutputFile;
  /** A whole file, on the disk when this returns. */
  write(name: string, content: string | Uint8Array): void;
  append(name: string, content: string): void;
  rename(from: string, to: string): void;
  syncDirectory(path: string): void;
  /** Closes what a failure left open. */
  closeAll(): void;
}

export function workFiles(folder: string, disk: DiskCalls): WorkFiles {
  const openFiles = new Set<number>();
  const path = (name: string) => join(folder, name);
  const open = (name: string, flags: 'w' | 'a') => {
    const fd = naming(path(name), 'creating the file', () => disk.open(path(name), flags));
    openFiles.add(fd);
    return {
      write: (bytes: Uint8Array) => naming(path(name), 'writing', () => writeAll(disk, fd, bytes, path(name))),
      finish() {
        naming(path(name), 'flushing to the disk', () => disk.sync(fd));
        openFiles.delete(fd);
        naming(path(name), 'closing', () => disk.close(fd));
      },
    };
  };
  const put = (name: string, flags: 'w' | 'a', content: string | Uint8Array) => {
    const file = open(name, flags);
    file.write(Buffer.from(content));
    file.finish();
  };
  return {
    path,
    create(name) {
      const { write, finish } = open(name, 'w');
      return { write, finish: async () => finish() };
    },
    write: (name, content) => put(name, 'w', content),
    append: (name, content) => put(name, 'a', content),
    rename: (from, to) => naming(to, 'renaming', () => disk.rename(from, to)),
    syncDirectory: (directory) => naming(directory, 'flushing to the disk', () => disk.syncDirectory(directory)),
    closeAll() {
      for (const fd of openFiles) {
        try {
          disk.close(fd);
        } catch {
          // The failure that left it open is the one to tell.
        }
      }
      openFiles.clear();
    },
  };
}

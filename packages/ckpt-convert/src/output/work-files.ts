import { dirname, join } from 'node:path';
import type { OutputFile } from '../execute.ts';
import { type DiskCalls, naming, writeAll } from './disk.ts';

/** Files below one folder, written so that every failure names the file. All but `path` take paths. */
export interface WorkFiles {
  path(name: string): string;
  /** Makes its directory below the folder too. */
  create(path: string): OutputFile;
  /** A whole file, on the disk when this returns. */
  write(path: string, content: string | Uint8Array): void;
  append(path: string, content: string): void;
  rename(from: string, to: string): void;
  /** With all that is in it. */
  remove(path: string): void;
  syncDirectory(path: string): void;
  /** Closes what a failure left open. */
  closeAll(): void;
}

export function workFiles(folder: string, disk: DiskCalls): WorkFiles {
  const openFiles = new Set<number>();
  const open = (path: string, flags: 'w' | 'a') => {
    const fd = naming(path, 'creating the file', () => disk.open(path, flags));
    openFiles.add(fd);
    return {
      write: (bytes: Uint8Array) => naming(path, 'writing', () => writeAll(disk, fd, bytes, path)),
      finish() {
        naming(path, 'flushing to the disk', () => disk.sync(fd));
        openFiles.delete(fd);
        naming(path, 'closing', () => disk.close(fd));
      },
    };
  };
  const put = (path: string, flags: 'w' | 'a', content: string | Uint8Array) => {
    const file = open(path, flags);
    file.write(Buffer.from(content));
    file.finish();
  };
  return {
    path: (name) => join(folder, name),
    create(path) {
      const parent = dirname(path);
      if (parent !== folder) naming(parent, 'making the directory', () => disk.makeDirectory(parent));
      const { write, finish } = open(path, 'w');
      return { write, finish: async () => finish() };
    },
    write: (path, content) => put(path, 'w', content),
    append: (path, content) => put(path, 'a', content),
    rename: (from, to) => naming(to, 'renaming', () => disk.rename(from, to)),
    remove: (gone) => naming(gone, 'removing', () => disk.remove(gone)),
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

import type { DiskCalls } from '../src/output/disk.ts';
import { nodeDisk } from '../src/output/node.ts';

export interface FaultyDisk extends DiskCalls {
  /** Each call so far, as `write` or `rename`. */
  readonly calls: string[];
  /** Paths opened so far. */
  readonly opened: string[];
}

/** The error that Node gives; from a descriptor it has no path. */
export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: something, ${syscall}`), { code, syscall });
}

/**
 * The disk, with a fault in call number `failing` (from 1): no room for what writes, an I/O error for the rest. It writes three bytes
 * of four where `isShort`, as write(2) may, and half before it runs full. Where `isKilled` all calls from that one on fail, so that
 * nothing is tidied up. It does not wait for the real disk.
 */
export function faultyDisk(
  options: { failing?: number; codeOfWrite?: string; isShort?: boolean; isKilled?: boolean } = {},
): FaultyDisk {
  const { failing = 0, codeOfWrite = 'ENOSPC', isShort = false, isKilled = false } = options;
  const calls: string[] = [];
  const opened: string[] = [];
  const count = (name: string, code = 'EIO') => {
    calls.push(name);
    const isFailing = isKilled ? failing > 0 && calls.length >= failing : calls.length === failing;
    if (isFailing) throw systemError(code, name);
  };
  return {
    calls,
    opened,
    makeDirectory(path) {
      count('makeDirectory', codeOfWrite);
      nodeDisk.makeDirectory(path);
    },
    open(path, flags) {
      count('open', codeOfWrite);
      opened.push(path);
      return nodeDisk.open(path, flags);
    },
    write(fd, bytes, offset, length) {
      if (calls.length + 1 === failing && length > 1) nodeDisk.write(fd, bytes, offset, length >> 1);
      count('write', codeOfWrite);
      return nodeDisk.write(fd, bytes, offset, isShort ? Math.ceil((length * 3) / 4) : length);
    },
    sync: () => count('sync'),
    close(fd) {
      nodeDisk.close(fd);
      count('close');
    },
    rename(from, to) {
      count('rename');
      nodeDisk.rename(from, to);
    },
    remove(path) {
      count('remove');
      nodeDisk.remove(path);
    },
    syncDirectory: () => count('syncDirectory'),
    reads: (inner) => (file, position, target) => {
      count('read');
      inner(file, position, target);
    },
  };
}

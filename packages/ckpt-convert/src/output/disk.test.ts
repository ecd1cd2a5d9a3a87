import { FormatError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { faultyDisk, systemError } from '../../test/faulty-disk.ts';
import { diskError, naming, namingReads, writeAll } from './disk.ts';

describe('diskError', () => {
  it.each([
    ['ENOSPC', 'CPT_DISK_FULL', 'OUT/a: the disk is full (ENOSPC on writing); make room and run again with --resume'],
    ['EDQUOT', 'CPT_DISK_FULL', 'OUT/a: the quota is used up (EDQUOT on writing); make room'],
    ['EIO', 'CPT_DISK_FAILED', 'OUT/a: writing failed (EIO); check the disk and run again with --resume'],
    ['ESTALE', 'CPT_DISK_FAILED', 'OUT/a: writing failed (ESTALE)'],
  ])('names file and cause of %s', (code, expected, message) => {
    const cause = systemError(code, 'write');
    expect(diskError('OUT/a', 'writing', cause)).toMatchObject({
      code: expected,
      message: expect.stringContaining(message),
      cause,
      details: { file: 'OUT/a', errno: code },
    });
  });

  it('leaves alone what no system call gave', () => {
    const ours = new FormatError('CPT_FORMAT_TRUNCATED', 'short');
    const abort = new DOMException('interrupted', 'AbortError');
    const node = Object.assign(new TypeError('x'), { code: 'ERR_INVALID_ARG_TYPE' });
    for (const error of [ours, abort, node, new RangeError('x'), undefined]) {
      expect(diskError('a', 'writing', error)).toBe(error);
    }
  });
});

it('naming and namingReads put the file into the message', () => {
  const fail = () => {
    throw systemError('EIO', 'read');
  };
  expect(() => naming('a', 'renaming', fail)).toThrow('a: renaming failed (EIO)');
  expect(naming('a', 'renaming', () => 3)).toBe(3);
  expect(() => namingReads(fail)('rank.pt', 64, new Uint8Array(8))).toThrow(
    'rank.pt: reading bytes 64 to 72 failed (EIO)',
  );
});

it('writeAll goes on after a short write, from where it ended', () => {
  const written: number[] = [];
  const disk = {
    ...faultyDisk(),
    write(_fd: number, bytes: Uint8Array, offset: number, length: number) {
      const count = Math.min(3, length);
      written.push(...bytes.subarray(offset, offset + count));
      return count;
    },
  };
  writeAll(disk, 1, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 'a');
  expect(written).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

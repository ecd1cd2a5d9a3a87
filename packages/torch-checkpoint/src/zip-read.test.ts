import { inflateSync } from 'node:zlib';
import { bytesSource, FormatError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { fixtureBytes, fixtureJson } from '../test/expected-values.ts';
import { SparseFile } from '../test/sparse-file.ts';
import { zip64Extra, zipOf } from '../test/zip-bytes.ts';
import { checkEntryCrc, entrySource, readZipDirectory } from './zip-read.ts';

const open = (bytes: Uint8Array) => readZipDirectory(bytesSource(bytes, 'a.pt'), 'a.pt');
const A = { name: 'a/data.pkl', data: 'pickle' };
const B = { name: 'a/data/0', data: 'tensor bytes' };

async function refusal(bytes: Uint8Array): Promise<string> {
  const error: unknown = await open(bytes).then(
    () => 'the zip was accepted',
    (reason) => reason,
  );
  if (!(error instanceof FormatError)) throw error;
  expect(error.message).toMatch(/^a\.pt: /);
  return error.code;
}

describe('readZipDirectory', () => {
  it('finds what Python put in, with data from the local header on', async () => {
    const bytes = fixtureBytes('no-checksums.pt');
    const { entries, hasChecksums } = await open(bytes);
    expect([...entries.keys()].map((name) => name.replace('no-checksums/', '')).sort()).toEqual([
      '.data/serialization_id',
      '.format_version',
      '.storage_alignment',
      'byteorder',
      'data.pkl',
      'data/0',
      'version',
    ]);
    expect(hasChecksums).toBe(false);
    const data = entries.get('no-checksums/data/0');
    expect(data).toMatchObject({ byteLength: 8, crc: 0 });
    expect((data?.byteOffset ?? 1) % 64).toBe(0);
    expect(Buffer.from(bytes).readFloatLE(data?.byteOffset)).toBe(1);
    const version = entries.get('no-checksums/version');
    const text = version && (await entrySource(bytesSource(bytes), version, 'a.pt').read(0, 2));
    expect(Buffer.from(text ?? []).toString()).toBe('3\n');
  });

  it('takes a plain zip, a comment, an empty entry, descriptors of every form, and ZIP64 fields', async () => {
    expect((await open(zipOf([A, B]))).entries.size).toBe(2);
    expect((await open(zipOf([A], { comment: 'made by hand' }))).entries.size).toBe(1);
    expect((await open(zipOf([A, { name: 'a/empty' }], { zip64: {} }))).entries.get('a/empty')?.byteLength).toBe(0);
    expect((await open(zipOf([A], { zip64: {}, count: 0xffff, directoryOffset: 0xffffffff }))).entries.size).toBe(1);
    const wide = { ...A, size: 0xffffffff, packed: 0xffffffff, localSize: 6, extra: zip64Extra(6n, 6n) };
    expect((await open(zipOf([wide]))).entries.get('a/data.pkl')?.byteLength).toBe(6);
    for (const descriptor of ['12 bytes....', 'PK..16 bytes....', '20 bytes............', 'PK..24 bytes............']) {
      const described = { ...A, flags: 8, localSize: 0, localCrc: 0 };
      expect((await open(zipOf([described], { between: descriptor }))).entries.size).toBe(1);
    }
  });

  it('finds its way in a file of torch of more than 4 GiB', async () => {
    const { bytes, deflated } = fixtureJson('large.json') as { bytes: number; deflated: [number, string][] };
    const file = new SparseFile();
    for (const [offset, base64] of deflated) file.put(offset, inflateSync(Buffer.from(base64, 'base64')));
    expect(file.byteLength).toBe(bytes);
    const { entries } = await readZipDirectory(file, 'large.pt');
    expect(entries.get('large/data/1')?.byteLength).toBe(2 ** 32 + 64);
    for (const [name, value] of [
      ['large/data/0', 1.5],
      ['large/data/2', 2.5],
    ] as const) {
      const entry = entries.get(name);
      const data = entry && (await entrySource(file, entry, name).read(0, 4));
      expect(Buffer.from(data ?? []).readFloatLE()).toBe(value);
    }
    expect(entries.get('large/data/2')?.byteOffset).toBeGreaterThan(2 ** 32);
  });

  const refused: [string, string, Uint8Array][] = [
    ['a path up', 'CPT_ZIP_PATH', zipOf([{ ...A, name: '../../etc/x' }])],
    ['a path up in the middle', 'CPT_ZIP_PATH', zipOf([{ ...A, name: 'a/../../x' }])],
    ['an absolute path', 'CPT_ZIP_PATH', zipOf([{ ...A, name: '/etc/x' }])],
    ['a drive', 'CPT_ZIP_PATH', zipOf([{ ...A, name: 'C:/x' }])],
    ['a backslash', 'CPT_ZIP_PATH', zipOf([{ ...A, name: 'a\\x' }])],
    ['a NUL', 'CPT_ZIP_PATH', zipOf([{ ...A, name: 'a/x\0.pkl' }])],
    ['no name', 'CPT_ZIP_PATH', zipOf([{ ...A, name: '' }])],
    ['a name that is no UTF-8', 'CPT_ZIP_PATH', zipOf([{ ...A, name: 'a/\xff' }])],
    ['a symbolic link', 'CPT_ZIP_PATH', zipOf([{ ...A, mode: 0o120777 }])],
    ['a deflated entry', 'CPT_ZIP_COMPRESSED', zipOf([{ ...A, method: 8, size: 1_000_000 }])],
    ['a stored entry of two sizes', 'CPT_ZIP_COMPRESSED', zipOf([{ ...A, size: 7 }])],
    ['encryption', 'CPT_ZIP_ENCRYPTED', zipOf([{ ...A, flags: 0x1 }])],
    ['patch data', 'CPT_ZIP_ENCRYPTED', zipOf([{ ...A, flags: 0x20 }])],
    ['strong encryption', 'CPT_ZIP_ENCRYPTED', zipOf([{ ...A, flags: 0x40 }])],
    ['masked headers', 'CPT_ZIP_ENCRYPTED', zipOf([{ ...A, flags: 0x2000 }])],
    ['encryption told only by the local header', 'CPT_ZIP_HEADER_MISMATCH', zipOf([{ ...A, localFlags: 0x1 }])],
    ['one name twice', 'CPT_ZIP_DUPLICATE', zipOf([A, A])],
    ['another name in the local header', 'CPT_ZIP_HEADER_MISMATCH', zipOf([{ ...A, localName: 'a/data.pkm' }])],
    ['a longer name in the local header', 'CPT_ZIP_HEADER_MISMATCH', zipOf([{ ...A, localName: 'a/data.pkl.bak' }, B])],
    ['another method in the local header', 'CPT_ZIP_HEADER_MISMATCH', zipOf([{ ...A, localMethod: 8 }])],
    ['another size in the local header', 'CPT_ZIP_HEADER_MISMATCH', zipOf([{ ...A, localSize: 5 }])],
    ['another checksum in the local header', 'CPT_ZIP_HEADER_MISMATCH', zipOf([{ ...A, localCrc: 1 }])],
    ['sizes of 0 without a descriptor', 'CPT_ZIP_HEADER_MISMATCH', zipOf([{ ...A, localSize: 0 }])],
    ['an offset inside another entry', 'CPT_ZIP_HEADER_MISMATCH', zipOf([A, { ...B, offset: 10 }])],
    ['an offset past the data', 'CPT_ZIP_OUT_OF_RANGE', zipOf([A, { ...B, offset: 5000 }])],
    ['a size past the data', 'CPT_ZIP_OUT_OF_RANGE', zipOf([{ ...A, size: 5000, packed: 5000 }])],
    ['an offset of 2^40', 'CPT_ZIP_OUT_OF_RANGE', zipOf([{ ...A, offset: 0xffffffff, extra: zip64Extra(2n ** 40n) }])],
    ['an offset of 2^63', 'CPT_ZIP_DIRECTORY', zipOf([{ ...A, offset: 0xffffffff, extra: zip64Extra(2n ** 63n) }])],
    ['all ones without a ZIP64 extra', 'CPT_ZIP_DIRECTORY', zipOf([{ ...A, offset: 0xffffffff }])],
    [
      'a ZIP64 extra that is too short',
      'CPT_ZIP_DIRECTORY',
      zipOf([{ ...A, size: 0xffffffff, packed: 0xffffffff, extra: zip64Extra(6n) }]),
    ],
    ['bytes before the zip', 'CPT_ZIP_NOT_A_ZIP', zipOf([A], { prepended: '#!/bin/sh\n', offsetsFromZip: true })],
    ['bytes before the zip, counted in', 'CPT_ZIP_NOT_A_ZIP', zipOf([A], { prepended: '\x80\x02N.' })],
    ['a zip before the zip', 'CPT_ZIP_FOREIGN_BYTES', zipOf([A], { prepended: zipOf([B]), offsetsFromZip: true })],
    ['a zip before the zip, counted in', 'CPT_ZIP_FOREIGN_BYTES', zipOf([A], { prepended: zipOf([B]) })],
    ['bytes between data and directory', 'CPT_ZIP_FOREIGN_BYTES', zipOf([A], { between: 'hidden' })],
    ['a descriptor that no flag announces', 'CPT_ZIP_FOREIGN_BYTES', zipOf([A], { between: 'PK..16 bytes....' })],
    ['bytes after the zip', 'CPT_ZIP_FOREIGN_BYTES', zipOf([A], { trailing: 'more' })],
    [
      'an entry that the directory does not list',
      'CPT_ZIP_FOREIGN_BYTES',
      zipOf([A], {
        between: Buffer.from(zipOf([B]))
          .toString('latin1')
          .slice(0, 50),
      }),
    ],
    ['a count too low', 'CPT_ZIP_DIRECTORY', zipOf([A, B], { count: 1 })],
    ['a count too high', 'CPT_ZIP_DIRECTORY', zipOf([A], { count: 2 })],
    [
      'a count too high in a long directory',
      'CPT_ZIP_DIRECTORY',
      zipOf([{ ...A, name: `a/${'x'.repeat(60)}` }], { count: 2 }),
    ],
    ['two counts', 'CPT_ZIP_DIRECTORY', zipOf([A], { countHere: 2 })],
    ['a disk of several', 'CPT_ZIP_DIRECTORY', zipOf([A], { disk: 1 })],
    ['an entry with another mark', 'CPT_ZIP_DIRECTORY', patched(zipOf([A]), 'PK\x01\x02', 3, 9)],
    ['an entry longer than the directory', 'CPT_ZIP_DIRECTORY', patched(zipOf([A]), 'PK\x01\x02', 32, 9)],
    ['a local header with another mark', 'CPT_ZIP_HEADER_MISMATCH', patched(zipOf([A, B]), 'PK\x03\x04', 3, 9, 1)],
    ['another packed size in the local header', 'CPT_ZIP_HEADER_MISMATCH', zipOf([{ ...A, localPacked: 5 }])],
    ['a ZIP64 record of two counts', 'CPT_ZIP_DIRECTORY', zipOf([A], { zip64: { countHere: 2 } })],
    ['a ZIP64 record of another form', 'CPT_ZIP_DIRECTORY', zipOf([A], { zip64: { recordLength: 45 } })],
    [
      'an end record that its ZIP64 record contradicts',
      'CPT_ZIP_DIRECTORY',
      zipOf([A], { zip64: {}, count: 5, countHere: 1 }),
    ],
    ['a directory past the end record', 'CPT_ZIP_OUT_OF_RANGE', zipOf([A], { directoryLength: 5000 })],
    ['a directory that is too short', 'CPT_ZIP_FOREIGN_BYTES', zipOf([A], { directoryLength: 40 })],
    ['a ZIP64 record of another count', 'CPT_ZIP_DIRECTORY', zipOf([A], { zip64: { count: 2 } })],
    ['a ZIP64 record of another offset', 'CPT_ZIP_DIRECTORY', zipOf([A], { zip64: { offset: 1 } })],
    ['a ZIP64 record of another length', 'CPT_ZIP_DIRECTORY', zipOf([A], { zip64: { length: 1 } })],
    ['a locator to elsewhere', 'CPT_ZIP_DIRECTORY', zipOf([A], { zip64: { at: 0 } })],
    ['an empty file', 'CPT_ZIP_TRUNCATED', new Uint8Array()],
  ];
  const ROWS: Readonly<Record<string, string>> = {
    CPT_ZIP_PATH: 'row 13',
    CPT_ZIP_COMPRESSED: 'row 14',
    CPT_ZIP_ENCRYPTED: 'row 15',
    CPT_ZIP_DUPLICATE: 'row 15',
    CPT_ZIP_HEADER_MISMATCH: 'row 15',
  };
  const numbered = refused.map(([what, code, bytes]) => [ROWS[code] ?? 'row 16', what, code, bytes] as const);
  it.each(numbered)('%s: refuses %s', async (_, __, code, bytes) => {
    expect(await refusal(bytes)).toBe(code);
  });

  it('row 16: refuses two entries that share bytes', async () => {
    // The first entry claims the second as part of its data; its local header agrees.
    const second = 30 + B.name.length + B.data.length;
    const first = { ...A, size: 6 + second, packed: 6 + second, crc: 1 };
    expect(await refusal(zipOf([first, B]))).toBe('CPT_ZIP_OVERLAP');
  });

  it('refuses a directory of 200 MB before it is read', async () => {
    const length = 200 * 2 ** 20;
    const local = zipOf([A]).subarray(0, 46);
    const tail = zipOf([], {
      zip64: { count: 1, length, offset: 46, at: 46 + length },
      count: 1,
      directoryLength: length,
      directoryOffset: 46,
    });
    const file = new SparseFile();
    file.put(0, local);
    file.put(46 + length, tail);
    let most = 0;
    const source = {
      byteLength: file.byteLength,
      read(offset: number, count: number) {
        most = Math.max(most, count);
        return file.read(offset, count);
      },
    };
    await expect(readZipDirectory(source, 'a.pt')).rejects.toThrow(`its directory has ${length} bytes for 1 entries`);
    expect(most).toBeLessThan(100_000);
  });

  it('tells a truncated file from one of another kind', async () => {
    const bytes = zipOf([A, B]);
    for (let length = 4; length < bytes.byteLength; length++)
      expect(await refusal(bytes.slice(0, length))).toBe('CPT_ZIP_TRUNCATED');
    await expect(open(bytes.slice(0, 60))).rejects.toThrow(/has no end record in its 60 bytes: the file is truncated/);
  });
});

describe('checkEntryCrc', () => {
  it('row 15: sees one bit', async () => {
    const bytes = zipOf([A, B]);
    const entry = (await open(bytes)).entries.get('a/data/0');
    if (!entry) throw new Error('no entry');
    await expect(checkEntryCrc(bytesSource(bytes), entry, 'a.pt')).resolves.toBeUndefined();
    bytes[entry.byteOffset] = (bytes[entry.byteOffset] as number) ^ 0x80;
    await expect(checkEntryCrc(bytesSource(bytes), entry, 'a.pt')).rejects.toMatchObject({ code: 'CPT_ZIP_CRC' });
  });
});

/** The bytes with one changed, counted from the `which`-th place of a mark. */
function patched(bytes: Uint8Array, mark: string, offset: number, value: number, which = 0): Uint8Array {
  const buffer = Buffer.from(bytes);
  let at = buffer.indexOf(mark, 0, 'latin1');
  for (let i = 0; i < which; i++) at = buffer.indexOf(mark, at + 1, 'latin1');
  buffer[at + offset] = value;
  return new Uint8Array(buffer);
}

import { bytesSource } from '@pai-cpt/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SparseFile } from '../test/sparse-file.ts';
import { checkEntryCrc, entrySource, readZipDirectory, type ZipEntry } from './zip-read.ts';
import { StoredZipWriter, storedZipLength } from './zip-write.ts';

const collect = () => {
  const parts: Uint8Array[] = [];
  return { parts, write: async (bytes: Uint8Array) => void parts.push(bytes.slice()) };
};

describe('StoredZipWriter', () => {
  it('writes entries that are read back, aligned and with their checksums', async () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-zé文]{1,40}$/), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        names,
        fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 6, maxLength: 6 }),
        async (list, data) => {
          const sink = collect();
          const writer = new StoredZipWriter(sink);
          for (const [i, name] of list.entries()) await writer.entry(name, data[i] as Uint8Array);
          await writer.finish();
          const source = bytesSource(new Uint8Array(Buffer.concat(sink.parts)));
          const { entries } = await readZipDirectory(source, 'z');
          expect([...entries.keys()].sort()).toEqual([...list].sort());
          const sizes = list.map((name, i) => ({ name, byteLength: (data[i] as Uint8Array).byteLength }));
          expect(storedZipLength(sizes)).toBe(source.byteLength);
          for (const [i, name] of list.entries()) {
            const entry = entries.get(name) as ZipEntry;
            expect(entry.byteOffset % 64).toBe(0);
            await checkEntryCrc(source, entry, 'z');
            expect(await entrySource(source, entry, 'z').read(0, entry.byteLength)).toEqual(data[i]);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('passes 4 GiB with the fields that torch writes', async () => {
    const file = new SparseFile();
    const writer = new StoredZipWriter(file);
    const size = 2 ** 32 + 2 ** 26;
    await writer.begin('big', size);
    for (let written = 0; written < size; written += file.zeros.byteLength) await writer.write(file.zeros);
    await writer.entry('after', Buffer.from('data'));
    await writer.finish();
    const { entries } = await readZipDirectory(file, 'z');
    expect(entries.get('big')?.byteLength).toBe(size);
    const sizes = [
      { name: 'big', byteLength: size },
      { name: 'after', byteLength: 4 },
    ];
    expect(storedZipLength(sizes)).toBe(file.byteLength);
    const after = entries.get('after') as ZipEntry;
    expect(after.byteOffset % 64).toBe(0);
    await checkEntryCrc(file, after, 'z');
    // "big": both sizes in its local extra, then a descriptor of 24 bytes. "after": only its offset, and 24 bytes again.
    const big = entries.get('big') as ZipEntry;
    const local = Buffer.from(await file.read(0, big.byteOffset));
    expect(local.subarray(33, 37).toString('hex')).toBe('01001000');
    const header = Buffer.from(await file.read(big.byteOffset + size + 24, 30 + 5 + 12));
    expect(header.subarray(0, 4).toString('hex')).toBe('504b0304');
    expect(header.subarray(35, 39).toString('hex')).toBe('01000800');
    expect(header.readBigUInt64LE(39)).toBe(BigInt(big.byteOffset + size + 24));
    const descriptor = Buffer.from(await file.read(after.byteOffset + 4, 24));
    expect(descriptor.readBigUInt64LE(8)).toBe(4n);
  });

  it('refuses bytes too many and an entry cut short', async () => {
    const writer = new StoredZipWriter(collect());
    await expect(writer.write(Uint8Array.of(1))).rejects.toThrow('1 bytes are written where 0 are missing');
    await writer.begin('a', 2);
    await writer.write(Uint8Array.of(1));
    await expect(writer.write(Uint8Array.of(1, 2))).rejects.toMatchObject({ code: 'CPT_INPUT_INVALID' });
    await expect(writer.begin('b', 1)).rejects.toThrow('misses its last 1 bytes');
    await expect(writer.finish()).rejects.toThrow('misses its last 1 bytes');
  });
});

import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FormatError, InvalidInputError } from './errors.ts';
import { describeError, fileSource, replaceFile, runCli } from './node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cpt-core-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('fileSource', () => {
  it('reads ranges and refuses to read past the end', async () => {
    const path = join(folder, 'a.bin');
    await writeFile(path, Uint8Array.of(1, 2, 3, 4));
    const source = await fileSource(path);
    expect(source.byteLength).toBe(4);
    expect([...(await source.read(1, 2))]).toEqual([2, 3]);
    await expect(source.read(3, 2)).rejects.toMatchObject({ code: 'CPT_FORMAT_TRUNCATED' });
    await source.close();
  });

  it('reads the same at once, and not after it was closed', async () => {
    const path = join(folder, 'a.bin');
    await writeFile(path, Uint8Array.of(1, 2, 3, 4));
    const source = await fileSource(path);
    expect([...source.readSync(1, 2)]).toEqual([2, 3]);
    expect(() => source.readSync(3, 2)).toThrow('a.bin: bytes 3 to 5 are needed, the file has 4');
    await truncate(path, 2);
    expect(() => source.readSync(0, 4)).toThrow('bytes 0 to 4 are needed, the file has 2');
    await source.close();
    expect(() => source.readSync(0, 1)).toThrow(); // never the bytes of a file that has the number since
  });

  it('notices that a file shrank after it was opened', async () => {
    const path = join(folder, 'a.bin');
    await writeFile(path, new Uint8Array(100));
    const source = await fileSource(path);
    await truncate(path, 10);
    await expect(source.read(0, 100)).rejects.toMatchObject({ code: 'CPT_FORMAT_TRUNCATED' });
    await source.close();
  });

  it('names a missing path and a directory', async () => {
    await expect(fileSource(join(folder, 'no'))).rejects.toThrow(/no: does not exist/);
    await expect(fileSource(folder)).rejects.toThrow(/is not a regular file/);
  });
});

describe('replaceFile', () => {
  it('replaces the content and leaves no temporary file', async () => {
    const path = join(folder, 'a.json');
    await replaceFile(path, 'one');
    await replaceFile(path, 'two');
    expect(await readFile(path, 'utf8')).toBe('two');
    expect(await readdir(folder)).toEqual(['a.json']);
  });

  it('removes its temporary file when it cannot finish, and keeps what was there', async () => {
    await expect(replaceFile(folder, 'x')).rejects.toThrow();
    expect((await readdir(tmpdir())).filter((name) => name.startsWith(`${folder.split('/').at(-1)}.tmp-`))).toEqual([]);
  });
});

describe('runCli', () => {
  const run = async (main: () => Promise<number | undefined>) => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const before = process.exitCode;
    await runCli(main);
    const result = { code: process.exitCode, text: write.mock.calls.map(([text]) => String(text)).join('') };
    process.exitCode = before;
    write.mockRestore();
    return result;
  };

  it('gives 2 for wrong use, 1 for a bad file, 130 for an interrupt, the value of the program otherwise', async () => {
    const wrongUse = await run(() => Promise.reject(new InvalidInputError('CPT_INPUT_INVALID', 'no such option')));
    expect(wrongUse).toEqual({ code: 2, text: 'error: no such option [CPT_INPUT_INVALID]\n' });
    const badFile = await run(() =>
      Promise.reject(new FormatError('CPT_FORMAT_TRUNCATED', 'a.bin: short\n  copy again')),
    );
    expect(badFile).toEqual({ code: 1, text: 'error: a.bin: short copy again [CPT_FORMAT_TRUNCATED]\n' });
    expect((await run(() => Promise.reject(new DOMException('interrupted', 'AbortError')))).code).toBe(130);
    expect((await run(async () => 3)).code).toBe(3);
    expect((await run(async () => undefined)).code).toBe(0);
  });

  it('describes foreign errors without a code', () => {
    expect(describeError(new Error('plain'))).toBe('plain');
    expect(describeError('text')).toBe('text');
  });
});

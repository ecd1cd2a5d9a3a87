import { readFileSync } from 'node:fs';
import { bytesSource, countingSource } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from './read.ts';

const FIXTURES = new URL('../../../fixtures/safetensors/', import.meta.url);
const NAME = 'python-mixed.safetensors';
const bytes = new Uint8Array(readFileSync(new URL(NAME, FIXTURES)));
const expected: Record<string, { dtype: string; shape: number[]; hex: string }> = JSON.parse(
  readFileSync(new URL('expected.json', FIXTURES), 'utf8'),
)[NAME];

describe('openSafetensors', () => {
  it('reads what Python wrote: nine dtypes, a scalar, an empty tensor, metadata', async () => {
    const file = await openSafetensors(bytesSource(bytes), NAME);
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(expected).sort());
    for (const [name, { dtype, shape, hex }] of Object.entries(expected)) {
      expect(file.tensors.get(name)).toMatchObject({ dtype, shape });
      expect(Buffer.from(await file.read(name)).toString('hex'), name).toBe(hex);
    }
    expect({ ...file.metadata }).toEqual({ format: 'pt', note: 'a "quoted" näme' });
  });

  it('reads the header alone until a tensor is asked for', async () => {
    const source = countingSource(bytesSource(bytes));
    const file = await openSafetensors(source, NAME);
    const headerBytes = Math.min(...[...file.tensors.values()].map(({ byteOffset }) => byteOffset));
    expect(source.stats).toEqual({ reads: 2, bytes: 8 + headerBytes });
    await file.tensorSource('norm').read(4, 4);
    expect(source.stats.bytes).toBe(8 + headerBytes + 4);
  });

  it('gives each tensor a buffer of its own, and no byte of its neighbours', async () => {
    const file = await openSafetensors(bytesSource(bytes), NAME);
    const norm = await file.read('norm');
    expect(norm.buffer.byteLength).toBe(12);
    await expect(file.tensorSource('norm').read(8, 5)).rejects.toMatchObject({ code: 'CPT_FORMAT_TRUNCATED' });
  });

  it('names a tensor that is not there, and a pointer that is no file', async () => {
    const file = await openSafetensors(bytesSource(bytes), NAME);
    await expect(file.read('norms')).rejects.toThrow('there is no tensor "norms" among its 11');
    const pointer = new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n');
    await expect(openSafetensors(bytesSource(pointer), NAME)).rejects.toMatchObject({ code: 'CPT_FORMAT_LFS_POINTER' });
  });

  it('stops at an aborted signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(openSafetensors(bytesSource(bytes), NAME, signal)).rejects.toThrow('enough');
  });
});

import { readFileSync } from 'node:fs';
import type { Dtype } from '@pai-cpt/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignShards, buildIndex, parseIndex, shardFileName } from './shards.ts';

const bf16 = (name: string, elements: number) => ({ name, dtype: 'BF16' as Dtype, shape: [elements] });
const index = (text: string) => parseIndex(new TextEncoder().encode(text), 'model.safetensors.index.json');

describe('assignShards', () => {
  it('fills files greedily in order and gives a big tensor its own', () => {
    const shards = assignShards([bf16('a', 30), bf16('b', 20), bf16('c', 1), bf16('big', 200), bf16('d', 1)], 100);
    const summary = shards.map(({ name, tensors, byteLength }) => [
      name,
      tensors.map((t) => t.name).join(),
      byteLength,
    ]);
    expect(summary).toEqual([
      ['model-00001-of-00004.safetensors', 'a,b', 100],
      ['model-00002-of-00004.safetensors', 'c', 2],
      ['model-00003-of-00004.safetensors', 'big', 400],
      ['model-00004-of-00004.safetensors', 'd', 2],
    ]);
  });

  it('puts wider dtypes first inside a file and keeps the order otherwise', () => {
    const norm = { name: 'norm', dtype: 'F32' as Dtype, shape: [1] };
    const [shard] = assignShards([bf16('a', 1), bf16('b', 1), norm], 100);
    expect(shard?.tensors.map(({ name }) => name)).toEqual(['norm', 'a', 'b']);
    expect(shard?.name).toBe('model.safetensors');
  });

  it('gives every tensor to exactly one file and passes the limit only with a single one', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 100 }), (elements, limit) => {
        const tensors = elements.map((count, i) => bf16(`t${i}`, count));
        const shards = assignShards(tensors, limit);
        expect(shards.flatMap((shard) => shard.tensors)).toEqual(tensors);
        for (const shard of shards) {
          const carrying = shard.tensors.filter(({ shape }) => shape[0] !== 0);
          expect(shard.byteLength <= limit || carrying.length === 1).toBe(true);
        }
      }),
    );
  });

  it('refuses a limit of nothing', () => {
    expect(() => assignShards([bf16('a', 1)], 0)).toThrow('maxShardBytes is 0');
  });
});

describe('the index', () => {
  it('is the text that huggingface_hub writes for the same split', () => {
    const tensors = [0, 1, 2].map((i) => ({ ...bf16(`model.layers.${i}.weight`, 0), shape: [4, 4] }));
    const shards = assignShards(tensors, 70);
    const python = new URL(
      '../../../fixtures/safetensors/python-sharded/model.safetensors.index.json',
      import.meta.url,
    );
    expect(buildIndex(shards)).toBe(readFileSync(python, 'utf8').trimEnd().concat('\n'));
    expect(shardFileName(3, 12345)).toBe('model-00003-of-12345.safetensors');
  });

  it('is parsed back, also with a total_size that is a float', () => {
    const map = new Map([['__proto__', 'a.safetensors']]);
    expect(index('{"metadata":{"total_size":96.0},"weight_map":{"__proto__":"a.safetensors"}}')).toEqual({
      totalSize: 96,
      weightMap: map,
    });
    expect(index('{"weight_map":{"__proto__":"a.safetensors"}}').totalSize).toBe(0);
  });

  it.each([
    ['../a.safetensors', 'CPT_FORMAT_SHARD_PATH'],
    ['/etc/a.safetensors', 'CPT_FORMAT_SHARD_PATH'],
    ['sub/a.safetensors', 'CPT_FORMAT_SHARD_PATH'],
    ['..\\\\a.safetensors', 'CPT_FORMAT_SHARD_PATH'],
    ['C:a.safetensors', 'CPT_FORMAT_SHARD_PATH'],
    ['a\\u0000.safetensors', 'CPT_FORMAT_SHARD_PATH'],
    ['.safetensors', 'CPT_FORMAT_SHARD_PATH'],
    ['a.bin', 'CPT_FORMAT_SHARD_PATH'],
  ])('refuses the shard name %s', (name, code) => {
    expect(() => index(`{"weight_map":{"t":"${name}"}}`)).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    ['{"weight_map":{"t":"a.safetensors","t":"b.safetensors"}}', 'CPT_FORMAT_DUPLICATE_KEY'],
    ['{"weight_map":["a.safetensors"]}', 'CPT_FORMAT_HEADER_JSON'],
    ['{}', 'CPT_FORMAT_HEADER_JSON'],
    ['{"weight_map":', 'CPT_FORMAT_HEADER_JSON'],
    ['version https://git-lfs.github.com/spec/v1\n', 'CPT_FORMAT_LFS_POINTER'],
  ])('refuses %s', (text, code) => {
    expect(() => index(text)).toThrow(expect.objectContaining({ code }));
  });
});

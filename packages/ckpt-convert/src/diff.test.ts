import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { convertCheckpoint } from './convert.ts';
import { diffCheckpoints } from './diff.ts';
import { convertToMegatron } from './to-megatron.ts';

const NORM = 'model.norm.weight';
const norm = (...values: number[]) => ({
  [NORM]: { dtype: 'F32' as const, shape: [values.length], bytes: new Uint8Array(new Float32Array(values).buffer) },
});
const ONES = [1, 1, 1, 1, 1, 1, 1, 1];

describe('diffCheckpoints', () => {
  it('two formats, two grids, equal', async () => {
    await withDirectory(async (root) => {
      const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');
      const [hf, ckpt] = [join(root, 'hf'), join(root, 'ckpt')];
      await convertCheckpoint({ source, output: hf, vocabSize: 13 });
      await convertToMegatron({
        source: hf,
        output: ckpt,
        parallel: { tensorParallelSize: 1, pipelineParallelSize: 3 },
      });
      const equal = { equal: true, compared: 39, different: 0, missing: 0, tensors: [] };
      expect(await diffCheckpoints({ a: hf, b: source })).toEqual(equal);
      expect(await diffCheckpoints({ a: ckpt, b: hf })).toEqual(equal);
    });
  });

  it.each([
    ['one value', [...ONES.slice(1), 1.5], 1, 0.5],
    ['the sign of a zero', [0, ...ONES.slice(1)], 1, 0, [-0, ...ONES.slice(1)]],
    ['a NaN', [Number.NaN, ...ONES.slice(1)], 1, null],
    ['the largest of several', [1.25, -1, 1, 1, 1, 1, 1, 1], 2, 2],
  ])('%s', async (_, values, differentElements, maxAbsDifference, others = ONES) => {
    await withDirectory(async (root) => {
      const [a, b] = [join(root, 'a'), join(root, 'b')];
      await writeTinyHf(a, TINY, { dtype: 'F32', extra: norm(...values) });
      await writeTinyHf(b, TINY, { dtype: 'F32', extra: norm(...others) });
      const report = await diffCheckpoints({ a, b });
      const side = { dtype: 'F32', shape: [8] };
      expect(report).toMatchObject({ equal: false, different: 1, missing: 0 });
      expect(report.tensors).toEqual([
        { name: NORM, status: 'values', a: side, b: side, maxAbsDifference, differentElements },
      ]);
    });
  });

  it('a tensor that one side lacks, and one of another shape', async () => {
    await withDirectory(async (root) => {
      const [a, b] = [join(root, 'a'), join(root, 'b')];
      await writeTinyHf(a, TINY, { dtype: 'F32', extra: norm(1, 2) });
      await writeTinyHf(b, { ...TINY, isTied: true }, { dtype: 'F32' });
      const { tensors, ...counts } = await diffCheckpoints({ a, b });
      // Random bytes follow each other, so the last two tensors of the models are the only ones that can differ.
      expect(counts).toEqual({ equal: false, compared: 26, different: 1, missing: 1 });
      expect(tensors.map(({ name, status }) => `${name} ${status}`).sort()).toEqual([
        'lm_head.weight missing',
        `${NORM} shape`,
      ]);
      expect(tensors.find(({ status }) => status === 'missing')).not.toHaveProperty('b');
    });
  });

  it('halves, by their values', async () => {
    await withDirectory(async (root) => {
      const [a, b] = [join(root, 'a'), join(root, 'b')];
      // 1, −2, 65504 (the largest), 2^-24 (the smallest), as numpy.float16 spells them
      const half = (...bits: number[]) => ({
        [NORM]: { dtype: 'F16' as const, shape: [8], bytes: new Uint8Array(new Uint16Array(bits).buffer) },
      });
      await writeTinyHf(a, TINY, { dtype: 'F16', extra: half(0x3c00, 0xc000, 0x7bff, 0x0001, 0, 0, 0, 0) });
      await writeTinyHf(b, TINY, { dtype: 'F16', extra: half(0x3c00, 0x4000, 0x7bff, 0x0000, 0, 0, 0, 0) });
      const { tensors } = await diffCheckpoints({ a, b });
      expect(tensors).toMatchObject([{ name: NORM, differentElements: 2, maxAbsDifference: 4 }]);
    });
  });
});

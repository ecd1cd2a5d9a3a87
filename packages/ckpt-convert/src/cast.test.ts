import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { describe, expect, it } from 'vitest';
import { FIXTURES, withDirectory } from '../test/tiny-checkpoint.ts';
import { writtenDtype } from './cast.ts';
import { convertCheckpoint } from './convert.ts';
import { diffCheckpoints } from './diff.ts';

describe('writtenDtype', () => {
  it.each([
    ['BF16', {}, 'BF16'],
    ['BF16', { dtype: 'F32' }, 'F32'],
    ['F32', { dtype: 'F32' }, 'F32'],
    ['F32', { dtype: 'BF16', allowCast: true }, 'BF16'],
    ['F16', { allowCast: true }, 'F16'],
  ] as const)('%s with %j is %s', (source, options, expected) => {
    expect(writtenDtype('x', source, options)).toBe(expected);
  });

  it.each([
    ['F32', 'BF16'],
    ['F16', 'BF16'],
  ] as const)('row 31: %s to %s needs leave', (source, dtype) => {
    expect(() => writtenDtype('x', source, { dtype })).toThrow(
      expect.objectContaining({ code: 'CPT_INPUT_LOSSY_CAST' }),
    );
  });
});

describe('to-hf with another dtype', () => {
  it('F32 from BF16 is exact; BF16 from that with leave is the original again', async () => {
    await withDirectory(async (root) => {
      const source = join(FIXTURES, 'qwen2-tp2-pp2', 'megatron');
      const [narrow, wide] = [join(root, 'bf16'), join(root, 'f32')];
      await convertCheckpoint({ source, output: narrow });
      const result = await convertCheckpoint({ source, output: wide, dtype: 'F32', maxShardBytes: 3000 });
      expect(result.files.length).toBeGreaterThan(1);
      expect(JSON.parse(await readFile(join(wide, 'config.json'), 'utf8')).torch_dtype).toBe('float32');
      const hf = await openSafetensorsDirectory(wide);
      expect(new Set([...hf.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['F32']));
      await hf.close();
      const report = await diffCheckpoints({ a: narrow, b: wide });
      expect(report.tensors.map(({ status, maxAbsDifference }) => [status, maxAbsDifference])).toEqual(
        report.tensors.map(() => ['dtype', 0]),
      );
      expect(report).toMatchObject({ compared: report.different, missing: 0 });
    });
  });

  it('BF16 from F32 only with leave, and config.json follows', async () => {
    await withDirectory(async (root) => {
      const source = join(FIXTURES, 'qwen2-fp32', 'megatron');
      const output = join(root, 'hf');
      const options = { source, output, dtype: 'BF16' } as const;
      await expect(convertCheckpoint(options)).rejects.toThrow(
        expect.objectContaining({ code: 'CPT_INPUT_LOSSY_CAST' }),
      );
      const { files } = await convertCheckpoint({ ...options, allowCast: true });
      expect(files[0]?.bytes).toBeGreaterThan(0);
      expect(JSON.parse(await readFile(join(output, 'config.json'), 'utf8')).torch_dtype).toBe('bfloat16');
      const hf = await openSafetensorsDirectory(output);
      expect(new Set([...hf.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['BF16']));
      await hf.close();
    });
  });
});

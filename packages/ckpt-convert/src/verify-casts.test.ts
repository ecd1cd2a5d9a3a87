import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatasetWriter } from '@pai-cpt/mmap';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES, randomTensors, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { convertCheckpoint } from './convert.ts';
import { convertToMegatron } from './to-megatron.ts';
import { verifyCheckpoint } from './verify.ts';

const fixture = (name: string) => join(FIXTURES, name, 'megatron');

let scratch = '';
let data = '';
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'ckpt-convert-'));
  data = join(scratch, 'tokens');
  const writer = await createDatasetWriter({ prefix: data, dtype: 'uint16' });
  await writer.addDocument([Int32Array.from({ length: 33 }, (_, at) => (at * 5) % 11)]);
  await writer.finish();
});
afterAll(() => rm(scratch, { recursive: true }));

describe('an output made with --dtype', () => {
  it.each([
    ['qwen2-tp2-pp2', 'F32', 'BF16 → F32'],
    ['qwen2-tp2-pp2', 'F16', 'BF16 → F16'],
    ['qwen2-before-zip', 'BF16', 'F16 → BF16'],
    ['qwen2-before-zip', 'F32', 'F16 → F32'],
  ] as const)('%s in %s is compared after the same cast, tensors and hidden states', async (name, dtype, cast) => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      await convertCheckpoint({ source: fixture(name), output, dtype, allowCast: true });
      const hf = await openSafetensorsDirectory(output);
      expect(new Set([...hf.tensors.values()].map((tensor) => tensor.dtype))).toEqual(new Set([dtype]));
      await hf.close();
      const run = { run: true, data, sequenceLength: 8 };
      const report = await verifyCheckpoint({ hf: output, against: fixture(name), ...run });
      expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(report.checks.find((check) => check.name === 'tensors')?.detail).toContain(`after the cast ${cast}`);
      expect(report.maxLayerRelativeL2).toBeLessThan(1e-5);
    });
  });

  it('F32 norms among F16 weights are cast each from its own', async () => {
    await withDirectory(async (root) => {
      const [output, reference] = [join(root, 'hf'), join(FIXTURES, 'llama-fp32-norms', 'reference')];
      await convertCheckpoint({
        source: fixture('llama-fp32-norms'),
        output,
        reference,
        dtype: 'BF16',
        allowCast: true,
      });
      const report = await verifyCheckpoint({ hf: output, against: fixture('llama-fp32-norms') });
      expect(report.ok).toBe(true);
      expect(report.checks.find(({ name }) => name === 'tensors')?.detail).toMatch(
        /F16 → BF16 and F32 → BF16|F32 → BF16 and F16 → BF16/,
      );
    });
  });

  it('is still found wrong by one bit', async () => {
    await withDirectory(async (root) => {
      const output = join(root, 'hf');
      await convertCheckpoint({ source: fixture('qwen2-tp2-pp2'), output, dtype: 'F16', allowCast: true });
      const path = join(output, 'model.safetensors');
      const bytes = await readFile(path);
      bytes[bytes.byteLength - 2] = (bytes[bytes.byteLength - 2] as number) ^ 1;
      await writeFile(path, bytes);
      const report = await verifyCheckpoint({ hf: output, against: fixture('qwen2-tp2-pp2') });
      expect(report.checks.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['tensors']);
    });
  });
});

describe('a value that the dtype cannot hold', () => {
  it('is refused with its tensor, and nothing is left behind', async () => {
    await withDirectory(async (root) => {
      const bytes = new Uint8Array(new Float32Array([1, 2, 70_000, 4, 5, 6, 7, 8]).buffer);
      const extra = { 'model.norm.weight': { dtype: 'F32' as const, shape: [8], bytes } };
      await writeTinyHf(join(root, 'hf'), TINY, { dtype: 'F32', extra, tensors: halves() });
      const parallel = { tensorParallelSize: 1, pipelineParallelSize: 1 };
      const options = { source: join(root, 'hf'), parallel, dtype: 'F16' as const, allowCast: true };
      await expect(convertToMegatron({ ...options, output: join(root, 'ckpt') })).rejects.toMatchObject({
        code: 'CPT_INPUT_CAST_OVERFLOW',
        message: expect.stringMatching(/^"decoder\.final_layernorm\.weight": the value 70000 does not fit F16/),
      });
      await convertToMegatron({ source: join(root, 'hf'), parallel, output: join(root, 'f32') });
      const narrow = { source: join(root, 'f32'), output: join(root, 'out'), dtype: 'F16' as const, allowCast: true };
      await expect(convertCheckpoint(narrow)).rejects.toMatchObject({
        code: 'CPT_INPUT_CAST_OVERFLOW',
        message: expect.stringMatching(/^"model\.norm\.weight": the value 70000/),
      });
      expect(existsSync(join(root, 'out', 'model.safetensors'))).toBe(false);
    });
  });
});

/** Every tensor of TINY filled with 0.5: the random bytes of `randomTensors` are mostly too large for F16. */
function halves() {
  const random = randomTensors(TINY, 'F32');
  const read = async (name: string) => {
    const { byteLength } = await random.read(name);
    return new Uint8Array(new Float32Array(byteLength / 4).fill(0.5).buffer);
  };
  return { ...random, read };
}

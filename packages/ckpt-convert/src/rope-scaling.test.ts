import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { convertCheckpoint } from './convert.ts';
import {
  argsOfRopeScaling,
  configOfRopeScaling,
  describeRopeScaling,
  type RopeScaling,
  ropeScalingOfArgs,
  ropeScalingOfConfig,
} from './rope-scaling.ts';
import { convertToMegatron } from './to-megatron.ts';

const LLAMA_31: RopeScaling = {
  type: 'llama3',
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 8192,
};
/** config.json of meta-llama/Llama-3.1-8B. */
const CONFIG_31 = {
  rope_scaling: {
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
};

describe('the scaling by args', () => {
  it.each([
    [{}, undefined],
    [{ use_rope_scaling: false, rope_scaling_factor: 8 }, undefined],
    [{ use_rope_scaling: true }, LLAMA_31],
    [
      { use_rope_scaling: true, rope_scaling_factor: 32 },
      { ...LLAMA_31, factor: 32 },
    ],
    [{ rotary_seq_len_interpolation_factor: 4 }, { type: 'linear', factor: 4 }],
    [{ rotary_seq_len_interpolation_factor: null }, undefined],
  ])('%j', (args, scaling) => {
    expect(ropeScalingOfArgs(new Map(Object.entries(args)))).toEqual(scaling);
  });

  it.each([undefined, LLAMA_31, { type: 'linear', factor: 2 } as const])(
    'is read back from what it writes: %j',
    (scaling) => {
      expect(ropeScalingOfArgs(new Map(Object.entries(argsOfRopeScaling(scaling))))).toEqual(scaling);
    },
  );
});

describe('the scaling by config.json', () => {
  it.each([
    [{}, { kind: 'default' }],
    [{ rope_scaling: null }, { kind: 'default' }],
    [CONFIG_31, { kind: 'llama3', scaling: LLAMA_31 }],
    [{ rope_parameters: { ...CONFIG_31.rope_scaling, rope_theta: 5e5 } }, { kind: 'llama3', scaling: LLAMA_31 }],
    [{ rope_scaling: { type: 'linear', factor: 2.5 } }, { kind: 'linear', scaling: { type: 'linear', factor: 2.5 } }],
    [{ rope_scaling: { type: 'yarn', factor: 4 } }, { kind: 'yarn' }],
  ])('%j', (config, expected) => {
    expect(ropeScalingOfConfig(config)).toEqual(expected);
  });

  it('without a factor is a fault of config.json', () => {
    expect(() => ropeScalingOfConfig({ rope_scaling: { rope_type: 'linear', factor: '2' } })).toThrow(
      'factor of the rotary scaling "linear" is "2"; a positive number is needed',
    );
  });

  it('is written as Meta writes it', () => {
    expect(configOfRopeScaling(LLAMA_31)).toEqual(CONFIG_31.rope_scaling);
    expect(configOfRopeScaling({ type: 'linear', factor: 2 })).toEqual({ rope_type: 'linear', factor: 2 });
  });
});

describe('end to end', () => {
  const fixture = join(FIXTURES, 'llama3-scaled');
  const config = async (folder: string) => JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));

  it('args of a checkpoint become rope_scaling of a config.json that is made up', async () => {
    await withDirectory(async (root) => {
      const checkpoint = await openMegatronCheckpoint(join(fixture, 'megatron'));
      expect(checkpoint.modelConfig.ropeScaling).toEqual({ ...LLAMA_31, factor: 32 });
      await checkpoint.close();
      // Qwen2 names its family by its tensors, so no reference is needed and config.json is made up.
      const model = { ...TINY, ropeScaling: { type: 'linear', factor: 3 } as const };
      await writeTinyHf(join(root, 'a'), model, { config: { rope_scaling: { type: 'linear', factor: 3 } } });
      const parallel = { tensorParallelSize: 2, pipelineParallelSize: 1 };
      await convertToMegatron({ source: join(root, 'a'), output: join(root, 'ckpt'), parallel });
      await convertCheckpoint({ source: join(root, 'ckpt'), output: join(root, 'b') });
      expect((await config(join(root, 'b'))).rope_scaling).toEqual({ rope_type: 'linear', factor: 3 });
    });
  });

  it('a reference keeps its own, and what args say otherwise is reported', async () => {
    await withDirectory(async (root) => {
      const reference = join(root, 'reference');
      await cp(join(fixture, 'reference'), reference, { recursive: true });
      const options = { source: join(fixture, 'megatron'), reference };
      const same = await convertCheckpoint({ ...options, output: join(root, 'a') });
      expect(same.notes.filter((note) => note.includes('rotary'))).toEqual([]);
      expect((await config(join(root, 'a'))).rope_scaling).toMatchObject({ rope_type: 'llama3', factor: 32 });

      const { rope_scaling: _, ...plain } = await config(reference);
      await writeFile(join(reference, 'config.json'), JSON.stringify(plain));
      const other = await convertCheckpoint({ ...options, output: join(root, 'b') });
      expect(other.notes).toContainEqual(
        'rotary scaling: the reference says none, args say llama3, factor 32, 1 to 4 of 8192 positions; the reference was followed',
      );
      expect((await config(join(root, 'b'))).rope_scaling).toBeUndefined();
    });
  });

  it('Llama 3.1 becomes the args that Megatron has for it, and comes back', async () => {
    await withDirectory(async (root) => {
      const model = { ...TINY, family: 'llama', hasQkvBias: false } as const;
      await writeTinyHf(join(root, 'hf'), model, { config: CONFIG_31 });
      const parallel = { tensorParallelSize: 2, pipelineParallelSize: 2 };
      await convertToMegatron({ source: join(root, 'hf'), output: join(root, 'ckpt'), parallel });
      const checkpoint = await openMegatronCheckpoint(join(root, 'ckpt'));
      expect(checkpoint.args?.get('use_rope_scaling')).toBe(true);
      expect(checkpoint.args?.get('rope_scaling_factor')).toBe(8);
      expect(checkpoint.args?.get('rotary_seq_len_interpolation_factor')).toBe(null);
      expect(describeRopeScaling(checkpoint.modelConfig.ropeScaling)).toBe(describeRopeScaling(LLAMA_31));
      await checkpoint.close();
    });
  });

  it('constants that Megatron has no arguments for are refused', async () => {
    await withDirectory(async (root) => {
      const model = { ...TINY, family: 'llama', hasQkvBias: false } as const;
      const scaled = { rope_scaling: { ...CONFIG_31.rope_scaling, original_max_position_embeddings: 4096 } };
      await writeTinyHf(join(root, 'hf'), model, { config: scaled });
      const parallel = { tensorParallelSize: 1, pipelineParallelSize: 1 };
      const refused = convertToMegatron({ source: join(root, 'hf'), output: join(root, 'ckpt'), parallel });
      await expect(refused).rejects.toMatchObject({
        code: 'CPT_UNSUPPORTED_MODEL',
        message: expect.stringContaining('of 4096 positions; Megatron computes'),
      });
    });
  });
});

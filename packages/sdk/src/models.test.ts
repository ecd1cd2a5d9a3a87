import { expect, it } from 'vitest';
import { MODEL_NAMES, MODELS, type ModelName, parameterCount } from './models.ts';

// Counted by transformers: sum of numel over AutoModelForCausalLM.from_config(...) on the meta device.
it.each<[ModelName, number]>([
  ['qwen2-0.5b', 494_032_768],
  ['qwen2-1.5b', 1_543_714_304],
  ['qwen2-7b', 7_615_616_512],
  ['qwen2-72b', 72_706_203_648],
  ['qwen2.5-0.5b', 494_032_768],
  ['qwen2.5-1.5b', 1_543_714_304],
  ['qwen2.5-3b', 3_085_938_688],
  ['qwen2.5-7b', 7_615_616_512],
  ['qwen2.5-14b', 14_770_033_664],
  ['qwen2.5-32b', 32_763_876_352],
  ['qwen2.5-72b', 72_706_203_648],
  ['qwen3-0.6b', 596_049_920],
  ['qwen3-1.7b', 1_720_574_976],
  ['qwen3-4b', 4_022_468_096],
  ['qwen3-8b', 8_190_735_360],
  ['qwen3-14b', 14_768_307_200],
  ['qwen3-32b', 32_762_123_264],
])('%s has the parameters of its Hugging Face model', (name, parameters) => {
  expect(parameterCount(MODELS[name])).toBe(parameters);
});

it('counts the tiny model with the vocabulary it is trained with', () => {
  // By hand: per layer 64·(2·64 + 2·32) attention, 64 + 2·32 biases, 3·64·176 MLP, 2·64 norms; 4 layers; one norm; two tables.
  const layer = 64 * (2 * 64 + 2 * 32) + 64 + 2 * 32 + 3 * 64 * 176 + 2 * 64;
  expect(parameterCount(MODELS['qwen2-tiny'], 512)).toBe(4 * layer + 64 + 2 * 512 * 64);
  expect(MODELS['qwen2-tiny'].headDim).toBe(16);
});

it('has heads that divide and groups that divide them', () => {
  for (const name of MODEL_NAMES) {
    const { heads, queryGroups, headDim, family, hiddenSize } = MODELS[name];
    expect(heads % queryGroups).toBe(0);
    expect(family === 'qwen3' ? headDim : headDim * heads).toBe(family === 'qwen3' ? 128 : hiddenSize);
  }
});

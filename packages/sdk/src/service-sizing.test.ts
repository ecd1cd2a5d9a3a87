import { describe, expect, it } from 'vitest';
import { suggestServing } from './service-sizing.ts';

/** Qwen2-72B; its 72,706,203,648 parameters are 145,412,407,296 bytes in BF16. */
const QWEN2_72B = {
  ...{ num_hidden_layers: 80, hidden_size: 8192, num_attention_heads: 64, num_key_value_heads: 8 },
  max_position_embeddings: 32_768,
};
const WEIGHTS = 145_412_407_296;
const machine = (gpus: number, gpuMemoryGiB = 80) => ({ instanceType: 'ecs.x', gpus, gpuMemoryGiB });

describe('suggestServing', () => {
  it('spreads 72B over eight GPUs, as the documented service does', () => {
    expect(suggestServing(WEIGHTS, QWEN2_72B, machine(8))).toEqual({
      ...{ tensorParallelSize: 8, maxModelLength: 32_768, sharedMemoryGiB: 200, diskGiB: 200 },
    });
  });

  it('shortens the context to what the weights leave free', () => {
    // 72 - 4 - 145412407296 / 2^30 / 2 = 0.28707 GiB; 2 × 80 × 4 × 128 × 2 = 163,840 bytes a token: 1,881.35 tokens.
    expect(suggestServing(WEIGHTS, QWEN2_72B, machine(2))).toMatchObject({
      ...{ tensorParallelSize: 2, maxModelLength: 1881 },
    });
  });

  it('refuses a machine that cannot hold the weights, with the numbers', () => {
    expect(() => suggestServing(WEIGHTS, QWEN2_72B, machine(1))).toThrow(
      /weights are 135\.4 GiB on each of 1 GPUs; of 80 GiB, 0\.9 less 4 GiB can hold them: 68\.0 GiB/,
    );
    expect(() => suggestServing(WEIGHTS, QWEN2_72B, machine(8, 20))).toThrow(/16\.9 GiB on each of 8 GPUs/);
  });

  it('takes as many GPUs as divide the heads', () => {
    const small = { ...QWEN2_72B, num_attention_heads: 12, num_key_value_heads: 2, hidden_size: 1536 };
    expect(suggestServing(3e9, small, machine(8)).tensorParallelSize).toBe(6); // 12 / 6, and 6 ranks share 2 heads
    const one = suggestServing(3e9, { ...small, num_attention_heads: 7, num_key_value_heads: 7 }, machine(4));
    expect(one.tensorParallelSize).toBe(1);
    expect(one).not.toHaveProperty('sharedMemoryGiB');
  });

  it('needs a model that says its size', () => {
    const { num_hidden_layers: _, ...unknown } = QWEN2_72B;
    expect(() => suggestServing(WEIGHTS, unknown, machine(8))).toThrow(
      expect.objectContaining({ code: 'CPT_CONFIG_MODEL' }),
    );
  });
});

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES } from '../test/tiny-checkpoint.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { readReference } from './hf-files.ts';
import { planConversion } from './plan.ts';
import { resolveParameters } from './resolve.ts';

const folders = readdirSync(FIXTURES, { withFileTypes: true }).filter((entry) => entry.isDirectory());

async function planOf(name: string, maxShardBytes = 1e9) {
  const path = join(FIXTURES, name, 'reference');
  const reference = existsSync(path) ? { reference: await readReference(path) } : {};
  const checkpoint = await openMegatronCheckpoint(join(FIXTURES, name, 'megatron'), reference);
  const reads: unknown[] = [];
  const watched = { ...checkpoint, readInto: (...read: unknown[]) => void reads.push(read) };
  const plan = planConversion(watched, resolveParameters(watched), maxShardBytes);
  await checkpoint.close();
  expect(reads).toEqual([]);
  return plan;
}

describe('every byte of every output tensor is written exactly once, from inside its shard', () => {
  it.each(folders.map(({ name }) => name))('%s', async (name) => {
    const { outputShards } = await planOf(name);
    for (const tensor of outputShards.flatMap(({ tensors }) => tensors)) {
      const written = new Uint8Array(tensor.byteLength);
      for (const { to, bytes, count, toStep, shard, from, fromStep } of tensor.copies) {
        for (let run = 0; run < count; run++) {
          for (let at = to + run * toStep; at < to + run * toStep + bytes; at++)
            written[at] = (written[at] as number) + 1;
        }
        const { shape, stride } = tensor.sources[shard] as (typeof tensor.sources)[0];
        const reach = shape.reduce((sum, size, axis) => sum + (size - 1) * (stride[axis] as number), 1);
        const elementBytes = tensor.byteLength / tensor.shape.reduce((product, size) => product * size, 1);
        expect(from + (count - 1) * fromStep + bytes).toBeLessThanOrEqual(reach * elementBytes);
      }
      expect(
        written.every((times) => times === 1),
        tensor.name,
      ).toBe(true);
    }
  });
});

describe('planConversion', () => {
  it('is data: it survives JSON', async () => {
    const plan = await planOf('qwen2-tp2-pp2');
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  it('counts tensors and bytes and keeps to the size of a shard', async () => {
    const plan = await planOf('qwen2-tp2-pp2', 2000);
    expect(plan.outputShards.length).toBeGreaterThan(3);
    expect(plan.outputShards.every(({ byteLength }) => byteLength <= 2000)).toBe(true);
    expect(plan.outputShards.map(({ tensors }) => tensors.length).reduce((a, b) => a + b)).toBe(plan.tensorCount);
    expect(plan.outputShards.map(({ byteLength }) => byteLength).reduce((a, b) => a + b)).toBe(plan.byteLength);
    expect(plan.outputShards[0]?.name).toBe(`model-00001-of-0000${plan.outputShards.length}.safetensors`);
    expect(plan.outputShards[0]?.tensors[0]?.name).toBe('model.embed_tokens.weight');
    expect(plan.outputShards.at(-1)?.tensors.at(-1)?.name).toBe('lm_head.weight');
  });

  it('checks what only bytes can tell: replicas over ranks, the tied copy, the padding', async () => {
    const kinds = (plan: Awaited<ReturnType<typeof planOf>>) =>
      plan.checks.map(({ kind, parameter }) => `${kind} ${parameter.megatronName}`);
    expect(kinds(await planOf('qwen2-tp1-pp1'))).toEqual([
      'padding embedding.word_embeddings.weight',
      'padding output_layer.weight',
    ]);
    const tied = kinds(await planOf('qwen2-tp2-pp2-tied'));
    expect(tied).toContain('tiedCopy output_layer.weight');
    expect(tied.filter((check) => check.startsWith('replicas'))).toHaveLength(9);
  });
});

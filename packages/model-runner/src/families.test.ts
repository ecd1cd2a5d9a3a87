import { describe, expect, it } from 'vitest';
import { openInMemory, readJson, relativeL2 } from '../test/fixtures.ts';
import { compareForwards, runHfForward, runMegatronForward } from './forward.ts';
import { openGenerator } from './generate.ts';
import type { MegatronRanks } from './megatron-forward.ts';
import { modelShapeFromHfConfig } from './model-shape.ts';
import { rotaryTables } from './rotary.ts';
import { createTrainer } from './train.ts';
import { safetensorsWeights, type WeightSource } from './weights.ts';

/** What fixtures/model-runner/generate_families.py wrote with transformers. */
async function open(family: string, rope: string, ranks: number) {
  const folder = `families/${family}/`;
  const config = await readJson<Record<string, unknown>>(`${folder}${rope}.json`);
  const weightsOf = async (name: string) => safetensorsWeights(await openInMemory(folder + name));
  const tensors = await openInMemory(`${folder}hidden.safetensors`);
  const ids = new Int32Array((await tensors.read('ids')).buffer);
  const length = tensors.tensors.get('ids')?.shape[1] as number;
  const names = [0, 1].map((layer) => `${rope}.${layer}`);
  const files: WeightSource[] = [];
  for (let rank = 0; rank < ranks; rank++) files.push(await weightsOf(`mp_rank_0${rank}.safetensors`));
  const megatron: MegatronRanks = {
    parallel: { tensorParallelSize: ranks, pipelineParallelSize: 1 },
    layersPerStage: [2],
    rank: (rank) => files[rank] as WeightSource,
  };
  return {
    shape: modelShapeFromHfConfig(config),
    loss: config.loss as number,
    hf: await weightsOf('model.safetensors'),
    megatron,
    sequences: [ids.slice(0, length), ids.slice(length)],
    hidden: await Promise.all(names.map(async (name) => new Float32Array((await tensors.read(name)).buffer))),
  };
}

describe.each([
  ['qwen3', 'default', 4, 'norms of query and key heads, two ranks to a query group'],
  ['llama', 'llama3', 2, 'F16, rotary positions as in Llama 3.1'],
  ['llama', 'linear', 2, 'F16, rotary positions scaled linearly'],
])('%s %s on %i ranks: %s', (family, rope, ranks) => {
  it('has the hidden states and the loss of transformers, from either form', async () => {
    const { shape, loss, hf, megatron, sequences, hidden } = await open(family, rope, ranks);
    for (const run of [
      (options: object) => runHfForward({ shape, weights: hf, sequences, ...options }),
      (options: object) => runMegatronForward({ shape, ...megatron, sequences, ...options }),
    ]) {
      const distances: number[] = [];
      const result = await run({
        onLayer: (layer: number, values: Float32Array) =>
          distances.push(relativeL2(values, hidden[layer] as Float32Array)),
      });
      expect(distances).toHaveLength(2);
      expect(Math.max(...distances)).toBeLessThan(3e-6);
      expect(result.loss).toBeCloseTo(loss, 4);
    }
    const compared = await compareForwards({ shape, hf, megatron, sequences });
    expect(compared.maxLayerRelativeL2).toBeLessThan(3e-6);
  });
});

it.each([
  ['qwen3', 'default'],
  ['llama', 'llama3'],
])('%s %s generates with a cache what a forward pass says of the same text', async (family, rope) => {
  const { shape, hf, sequences } = await open(family, rope, 2);
  const prompt = (sequences[0] as Int32Array).slice(0, 30);
  const generator = await openGenerator({ shape, weights: hf });
  const tokens: number[] = [];
  let sum = 0;
  for await (const { token, logprob } of generator.generate(prompt, { maxTokens: 10 })) {
    tokens.push(token);
    sum += logprob;
  }
  await generator.close();
  const total = async (ids: Int32Array) => {
    const { loss, tokens: count } = await runHfForward({ shape, weights: hf, sequences: [ids] });
    return loss * count;
  };
  const text = Int32Array.from([...prompt, ...tokens]);
  expect(text).toHaveLength(40);
  expect((await total(text)) - (await total(prompt))).toBeCloseTo(-sum, 3);
});

it('a scaling that is left out is seen in the first layer', async () => {
  const { shape, hf, sequences, hidden } = await open('llama', 'llama3', 2);
  const { ropeScaling: _, ...plain } = shape;
  let distance = 0;
  const onLayer = (layer: number, values: Float32Array) => {
    if (layer === 0) distance = relativeL2(values, hidden[0] as Float32Array);
  };
  await runHfForward({ shape: plain, weights: hf, sequences, onLayer });
  expect(distance).toBeGreaterThan(1e-3);
});

it('a norm of the query heads that is taken for that of the key heads is seen', async () => {
  const { shape, hf, megatron, sequences } = await open('qwen3', 'default', 4);
  const swapped: WeightSource = {
    ...hf,
    read: (name, rows) => hf.read(name.replace('layers.1.self_attn.k_norm', 'layers.1.self_attn.q_norm'), rows),
  };
  const { layers } = await compareForwards({ shape, hf: swapped, megatron, sequences });
  expect(layers[0]?.relativeL2).toBeLessThan(1e-5);
  expect(layers[1]?.relativeL2).toBeGreaterThan(1e-3);
});

it('rotary tables of each scaling are those of transformers, also at far positions', async () => {
  interface Table {
    headDim: number;
    rope: Record<string, unknown>;
    positions: number[];
    cos: number[][];
    sin: number[][];
  }
  const tables = await readJson<Table[]>('families/rotary.json');
  expect(tables).toHaveLength(3);
  const sizes = { num_hidden_layers: 1, intermediate_size: 8, num_attention_heads: 2, vocab_size: 8 };
  for (const { headDim, rope, positions, cos, sin } of tables) {
    const config = {
      model_type: 'llama',
      ...sizes,
      hidden_size: 2 * headDim,
      head_dim: headDim,
      rope_parameters: rope,
    };
    const shape = modelShapeFromHfConfig(config);
    positions.forEach((position, row) => {
      const own = rotaryTables(shape, position, 1);
      // One unit in the last place of an angle of 120,000 radians is 0.008; those of transformers are met to the bit.
      own.cos.forEach((value, pair) => {
        expect(value).toBeCloseTo(cos[row]?.[pair] as number, 6);
      });
      own.sin.forEach((value, pair) => {
        expect(value).toBeCloseTo(sin[row]?.[pair] as number, 6);
      });
    });
  }
});

describe('what is not computed is refused by name', () => {
  const llama = {
    ...{ model_type: 'llama', num_hidden_layers: 1, hidden_size: 8, intermediate_size: 8 },
    ...{ num_attention_heads: 2, vocab_size: 8 },
  };
  it.each([
    ['yarn', { rope_scaling: { rope_type: 'yarn', factor: 4 } }],
    ['dynamic', { rope_scaling: { type: 'dynamic', factor: 4 } }],
    ['longrope', { rope_parameters: { rope_type: 'longrope' } }],
    ['partial_rotary_factor', { partial_rotary_factor: 0.5 }],
  ])('%s', (name, fields) => {
    expect(() => modelShapeFromHfConfig({ ...llama, ...fields })).toThrow(
      expect.objectContaining({ code: 'CPT_UNSUPPORTED_RUN', message: expect.stringContaining(name) }),
    );
  });

  it('a scaling without its factor, as a fault of config.json', () => {
    expect(() => modelShapeFromHfConfig({ ...llama, rope_scaling: { type: 'linear' } })).toThrow('factor is missing');
  });

  it('sequences past the sliding window of Mistral, which is always on', async () => {
    const { shape, hf, sequences } = await open('llama', 'linear', 2);
    const mistral = modelShapeFromHfConfig({ ...llama, model_type: 'mistral', sliding_window: 32 });
    expect(mistral.slidingWindow).toBe(32);
    const options = { shape: { ...shape, slidingWindow: 32 }, weights: hf, sequences };
    await expect(runHfForward(options)).rejects.toThrow('sequences of 48 tokens pass the sliding window of 32');
  });

  it('training with norms of query and key heads', async () => {
    const { shape } = await open('qwen3', 'default', 4);
    await expect(createTrainer({ shape, microBatchSize: 1, sequenceLength: 4 })).rejects.toMatchObject({
      code: 'CPT_UNSUPPORTED_RUN',
    });
  });
});

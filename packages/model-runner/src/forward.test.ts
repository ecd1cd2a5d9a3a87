import { castDtype } from '@pai-cpt/core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  openHfWeights,
  openMegatronRanks,
  openTensors,
  type Reference,
  readReference,
  readShape,
  relativeL2,
} from '../test/fixtures.ts';
import { compareForwards, runHfForward, runMegatronForward } from './forward.ts';
import type { MegatronRanks } from './megatron-forward.ts';
import type { ModelShape } from './model-shape.ts';
import { parameterWeights, type WeightSource } from './weights.ts';

let shape: ModelShape;
let hf: WeightSource;
let megatron: MegatronRanks;
let sequences: Int32Array[];
let hidden: Float32Array[];
let reference: Reference;

beforeAll(async () => {
  [shape, hf, megatron, reference] = await Promise.all([
    readShape(),
    openHfWeights(),
    openMegatronRanks(),
    readReference(),
  ]);
  const tensors = await openTensors('forward');
  sequences = await tensors.sequences();
  hidden = await Promise.all([0, 1, 2, 3].map((layer) => tensors.floats(`hidden.${layer}`)));
});

describe('against torch in float32', () => {
  it('gives the hidden states after every layer and the loss of a Hugging Face model', async () => {
    const distances: number[] = [];
    const onLayer = (layer: number, values: Float32Array) =>
      distances.push(relativeL2(values, hidden[layer] as Float32Array));
    const result = await runHfForward({ shape, weights: hf, sequences, onLayer });
    expect(distances).toHaveLength(4);
    expect(Math.max(...distances)).toBeLessThan(2e-6);
    expect(result.tokens).toBe(3 * 24);
    expect(result.loss).toBeCloseTo(reference.loss, 5);
  });

  it('gives the same from Megatron rank files, tensor parallel 2 and pipeline parallel 2', async () => {
    const distances: number[] = [];
    const onLayer = (layer: number, values: Float32Array) =>
      distances.push(relativeL2(values, hidden[layer] as Float32Array));
    const result = await runMegatronForward({ shape, ...megatron, sequences, onLayer });
    expect(distances).toHaveLength(4);
    expect(Math.max(...distances)).toBeLessThan(2e-6);
    expect(result.loss).toBeCloseTo(reference.loss, 5);
  });
});

describe('compareForwards', () => {
  it('finds two forms of one model equal to rounding, and both losses', async () => {
    const comparison = await compareForwards({ shape, hf, megatron, sequences });
    expect(comparison.layers.map(({ layer }) => layer)).toEqual([0, 1, 2, 3]);
    expect(comparison.maxLayerRelativeL2).toBeLessThan(1e-5);
    expect(comparison.maxLayerRelativeL2).toBe(Math.max(...comparison.layers.map((entry) => entry.relativeL2)));
    expect(comparison.hf.loss).toBeCloseTo(reference.loss, 5);
    expect(comparison.megatron.loss).toBeCloseTo(reference.loss, 5);
  });

  it('reads the weights of a layer when the one before it is done, each once, and holds no others', async () => {
    const events: string[] = [];
    const noting = (side: string, weights: WeightSource): WeightSource => ({
      ...weights,
      read(name, rows) {
        const [, layer] = /layers\.(\d+)\./.exec(name) ?? [];
        if (layer !== undefined) events.push(`${side} ${layer} ${name}`);
        return weights.read(name, rows);
      },
    });
    await compareForwards({
      shape,
      sequences,
      hf: noting('hf', hf),
      // Layers of the second stage are counted from 2 here, as those of the model are.
      megatron: {
        ...megatron,
        rank: (rank, stage) => {
          const weights = megatron.rank(rank, stage);
          const noted = noting(`rank ${rank} stage ${stage}`, weights);
          return { ...weights, read: noted.read };
        },
      },
      onLayer: (layer) => events.push(`done ${layer}`),
    });
    expect(new Set(events).size).toBe(events.length);
    let done = -1;
    for (const event of events) {
      if (event.startsWith('done')) done++;
      else if (event.startsWith('hf')) expect(Number(event.split(' ')[1])).toBe(done + 1);
      else {
        const [, , , stage, local] = event.split(' ');
        expect(2 * Number(stage) + Number(local)).toBe(done + 1);
      }
    }
    expect(done).toBe(3);
  });

  const faults: { name: string; layer: number; inject(weights: WeightSource): WeightSource }[] = [
    {
      name: 'gate and up of layer 1 swapped',
      layer: 1,
      inject: (weights) => {
        const swapped = new Map([
          ['model.layers.1.mlp.gate_proj.weight', 'model.layers.1.mlp.up_proj.weight'],
          ['model.layers.1.mlp.up_proj.weight', 'model.layers.1.mlp.gate_proj.weight'],
        ]);
        return { ...weights, read: (name, rows) => weights.read(swapped.get(name) ?? name, rows) };
      },
    },
    {
      name: 'query heads of layer 2 in another order',
      layer: 2,
      inject: (weights) =>
        changed(weights, 'model.layers.2.self_attn.q_proj.weight', (bytes) => {
          const headBytes = bytes.length / 4;
          return Buffer.concat([0, 2, 1, 3].map((head) => bytes.subarray(head * headBytes, (head + 1) * headBytes)));
        }),
    },
    {
      name: 'key bias of layer 3 lost',
      layer: 3,
      inject: (weights) => changed(weights, 'model.layers.3.self_attn.k_proj.bias', (bytes) => bytes.fill(0)),
    },
  ];

  it.each(faults)('shows $name from layer $layer on and not before', async ({ layer, inject }) => {
    const comparison = await compareForwards({ shape, hf: inject(hf), megatron, sequences });
    for (const entry of comparison.layers) {
      if (entry.layer < layer) expect(entry.relativeL2).toBeLessThan(1e-5);
      else expect(entry.relativeL2).toBeGreaterThan(1e-3);
    }
  });

  it('reports a hidden state that is not a number as such, never as equal', async () => {
    const poison = (bytes: Uint8Array) => bytes.fill(0xff);
    const broken = changed(hf, 'model.layers.0.input_layernorm.weight', poison);
    const comparison = await compareForwards({ shape, hf: broken, megatron, sequences });
    expect(comparison.maxLayerRelativeL2).toBeNaN();
  });
});

describe('what a checkpoint may look like', () => {
  it('runs more rows than one run takes', async () => {
    // 90 sequences of 24 are 2160 rows; a run takes 2048 at most.
    const many = Array.from({ length: 90 }, (_, row) => sequences[row % 3] as Int32Array);
    const result = await runHfForward({ shape, weights: hf, sequences: many });
    expect(result.tokens).toBe(2160);
    expect(result.loss).toBeCloseTo(reference.loss, 5);
    const { loss } = await runMegatronForward({ shape, ...megatron, sequences: many });
    expect(loss).toBeCloseTo(reference.loss, 5);
  });

  it.each(['F32', 'F16'] as const)('takes weights in %s', async (dtype) => {
    const convert = (bytes: Uint8Array) => {
      const floats = castDtype(bytes, 'BF16', 'F32');
      return dtype === 'F32' ? floats : toFloat16(new Float32Array(floats.buffer));
    };
    const recast = (weights: WeightSource): WeightSource => ({
      shapeOf: (name) => {
        const found = weights.shapeOf(name);
        return found && { ...found, dtype };
      },
      read: async (name, rows) => convert(await weights.read(name, rows)),
    });
    const rank: MegatronRanks['rank'] = (tensorRank, stage) => recast(megatron.rank(tensorRank, stage));
    const comparison = await compareForwards({ shape, hf: recast(hf), megatron: { ...megatron, rank }, sequences });
    expect(comparison.hf.loss).toBeCloseTo(reference.loss, 5);
    expect(comparison.megatron.loss).toBeCloseTo(reference.loss, 5);
  });

  it("takes the norm names of Megatron's local layers", async () => {
    const names = new Map([
      ['input_layernorm.weight', 'self_attention.linear_qkv.layer_norm_weight'],
      ['pre_mlp_layernorm.weight', 'mlp.linear_fc1.layer_norm_weight'],
    ]);
    const stored = (name: string) => {
      const end = name.split('.').slice(3).join('.');
      if ([...names.values()].includes(end)) return 'hidden by the other name';
      const fused = names.get(end);
      return fused ? name.replace(end, fused) : name;
    };
    const rename = (weights: WeightSource): WeightSource => ({
      shapeOf: (name) => weights.shapeOf(stored(name)),
      read: (name, rows) => weights.read(stored(name), rows),
    });
    const rank: MegatronRanks['rank'] = (tensorRank, stage) => rename(megatron.rank(tensorRank, stage));
    const { loss } = await runMegatronForward({ shape, ...megatron, rank, sequences });
    expect(loss).toBeCloseTo(reference.loss, 5);
  });

  it('takes a tied head from the last stage, or from the embedding where the last stage has none', async () => {
    const tied = { ...shape, isTied: true };
    const { loss } = await runHfForward({ shape: tied, weights: hf, sequences });
    expect(Math.abs(loss - reference.loss)).toBeGreaterThan(1);
    const headless: MegatronRanks['rank'] = (tensorRank, stage) => {
      const weights = megatron.rank(tensorRank, stage);
      return { ...weights, shapeOf: (name) => (name === 'output_layer.weight' ? undefined : weights.shapeOf(name)) };
    };
    const copied: MegatronRanks['rank'] = (tensorRank, stage) => {
      const weights = megatron.rank(tensorRank, stage);
      const first = megatron.rank(tensorRank, 0);
      return {
        ...weights,
        read: (name, rows) =>
          name === 'output_layer.weight'
            ? first.read('embedding.word_embeddings.weight', rows)
            : weights.read(name, rows),
      };
    };
    for (const rank of [headless, copied]) {
      const result = await runMegatronForward({ shape: tied, ...megatron, rank, sequences });
      expect(result.loss).toBeCloseTo(loss, 4);
    }
  });
});

it('adds up a vocabulary of several blocks and head chunks', async () => {
  // No layers, and embeddings of all +1 or all −1, which the norm keeps: row r of the head, all ln(r + 1) / 4, makes its
  // logit ± ln(r + 1). So token t has probability (t + 1) / Σ (r + 1) after an even token, 1 / (t + 1) / Σ 1 / (r + 1) after
  // an odd one.
  const vocabSize = 20_000;
  const rows = Array.from({ length: vocabSize }, (_, row) => row);
  const table = (value: (row: number) => number) => ({
    shape: [vocabSize, 4],
    data: Float32Array.from(rows.flatMap((row) => Array(4).fill(value(row)))),
  });
  const weights = parameterWeights(
    new Map([
      ['model.embed_tokens.weight', table((row) => (row % 2 === 0 ? 1 : -1))],
      ['model.norm.weight', { shape: [4], data: Float32Array.of(1, 1, 1, 1) }],
      ['lm_head.weight', table((row) => Math.log(row + 1) / 4)],
    ]),
  );
  const tokens = [0, 8191, 8192, 19_999, 1023, 1024, 16_384, 5];
  const nll = tokens.slice(1).map((target, i) => {
    const sign = (tokens[i] as number) % 2 === 0 ? 1 : -1;
    return Math.log(rows.reduce((sum, row) => sum + (row + 1) ** sign, 0)) - sign * Math.log(target + 1);
  });
  const flat = { ...shape, layers: 0, hiddenSize: 4, vocabSize };
  const { loss } = await runHfForward({ shape: flat, weights, sequences: [Int32Array.from(tokens)] });
  expect(loss).toBeCloseTo(nll.reduce((sum, value) => sum + value, 0) / nll.length, 4);
});

describe('refusals', () => {
  it.each([
    { given: [] as number[][], says: 'no sequences' },
    { given: [[5]], says: 'two or more ids' },
    {
      given: [
        [1, 2, 3],
        [1, 2],
      ],
      says: 'sequence 1 has 2 ids, the first one 3',
    },
    { given: [[1, 250]], says: 'token 250 is outside the vocabulary of 250' },
    { given: [[-1, 2]], says: 'token -1' },
  ])('of the sequences $given', async ({ given, says }) => {
    const refused = given.map((ids) => Int32Array.from(ids));
    await expect(runHfForward({ shape, weights: hf, sequences: refused })).rejects.toMatchObject({
      code: 'CPT_INPUT_INVALID',
      message: expect.stringContaining(says),
    });
  });

  it('of stages that do not hold the layers', async () => {
    const options = { shape, ...megatron, sequences, layersPerStage: [2, 3] };
    await expect(runMegatronForward(options)).rejects.toMatchObject({
      code: 'CPT_INPUT_INVALID',
      message: expect.stringContaining('[2, 3]'),
    });
  });

  it('of ranks that neither divide the query groups nor are divided by them', async () => {
    const parallel = { tensorParallelSize: 3, pipelineParallelSize: 2 };
    await expect(runMegatronForward({ shape, ...megatron, sequences, parallel })).rejects.toMatchObject({
      code: 'CPT_UNSUPPORTED_RUN',
    });
  });

  it('of tables that are smaller than the vocabulary', async () => {
    const large = { ...shape, vocabSize: 300 };
    await expect(runMegatronForward({ shape: large, ...megatron, sequences })).rejects.toMatchObject({
      code: 'CPT_MAPPING_WEIGHT',
      message: expect.stringContaining('256 rows'),
    });
  });
});

/** Float32 to the bits of float16, exact for numbers that have few digits, as widened bf16 does. */
function toFloat16(values: Float32Array): Uint8Array {
  const bits = Uint16Array.from(values, (value) => {
    const sign = value < 0 ? 0x8000 : 0;
    const size = Math.abs(value);
    const exponent = Math.floor(Math.log2(size));
    if (size < 2 ** -14) return sign | Math.round(size * 2 ** 24);
    return sign | ((exponent + 15) << 10) | Math.round((size / 2 ** exponent - 1) * 1024);
  });
  return new Uint8Array(bits.buffer);
}

function changed(weights: WeightSource, target: string, change: (bytes: Uint8Array) => Uint8Array): WeightSource {
  return {
    ...weights,
    async read(name, rows) {
      const bytes = await weights.read(name, rows);
      return name === target ? new Uint8Array(change(bytes)) : bytes;
    },
  };
}

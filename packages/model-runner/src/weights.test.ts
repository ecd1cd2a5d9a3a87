import { beforeAll, describe, expect, it } from 'vitest';
import { openHfWeights } from '../test/fixtures.ts';
import { parameterWeights, readFloat32Weight, readWeight, type WeightSource } from './weights.ts';

const NAME = 'model.layers.0.self_attn.k_proj.weight';
let weights: WeightSource;
beforeAll(async () => {
  weights = await openHfWeights();
});

describe('safetensorsWeights', () => {
  it('gives dtype and shape, and undefined for a name that is not there', () => {
    expect(weights.shapeOf(NAME)).toMatchObject({ dtype: 'BF16', shape: [16, 32] });
    expect(weights.shapeOf('lm_head.bias')).toBeUndefined();
  });

  it('reads rows as the same part of the whole, each read in a buffer of its own', async () => {
    const whole = await weights.read(NAME);
    const rows = await weights.read(NAME, { from: 3, to: 5 });
    expect(rows).toEqual(whole.slice(3 * 64, 5 * 64));
    rows.fill(0);
    expect(await weights.read(NAME)).toEqual(whole);
    expect([whole.byteOffset, whole.buffer.byteLength]).toEqual([0, 16 * 64]);
  });
});

describe('parameterWeights', () => {
  it('gives the present values, whole or by rows, and takes no writes back', async () => {
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    const source = parameterWeights(new Map([['w', { shape: [3, 2], data }]]));
    expect(source.shapeOf('w')).toEqual({ dtype: 'F32', shape: [3, 2] });
    data[3] = 40;
    const rows = await source.read('w', { from: 1, to: 2 });
    expect([...new Float32Array(rows.buffer)]).toEqual([3, 40]);
    rows.fill(0);
    expect([...new Float32Array((await source.read('w')).buffer)]).toEqual([1, 2, 3, 40, 5, 6]);
    await expect(source.read('v')).rejects.toMatchObject({ code: 'CPT_MAPPING_WEIGHT' });
  });
});

describe('reading for a graph', () => {
  it('feeds bf16 as the bits it has on disk, and widens it to keep', async () => {
    const source: WeightSource = {
      shapeOf: () => ({ dtype: 'BF16', shape: [2] }),
      read: async () => Uint8Array.of(0x80, 0x3f, 0x40, 0xc0), // 1 and −3
    };
    const fed = await readWeight(source, 'w', [2]);
    expect([fed.type, [...(fed.data as Uint16Array)]]).toEqual(['uint16', [0x3f80, 0xc040]]);
    expect([...((await readFloat32Weight(source, 'w', [2])).data as Float32Array)]).toEqual([1, -3]);
  });

  it.each([
    { name: 'no.such.weight', shape: [16, 32], says: '"no.such.weight"' },
    { name: NAME, shape: [32, 16], says: "is [16, 32]; the model's sizes need [32, 16]" },
  ])('refuses $name as $shape', async ({ name, shape, says }) => {
    const refusal = { code: 'CPT_MAPPING_WEIGHT', message: expect.stringContaining(says), details: { names: [name] } };
    await expect(readWeight(weights, name, shape)).rejects.toMatchObject(refusal);
    await expect(readFloat32Weight(weights, name, shape)).rejects.toMatchObject(refusal);
  });

  it('refuses dtypes that no graph takes', async () => {
    const source: WeightSource = { shapeOf: () => ({ dtype: 'F64', shape: [1] }), read: async () => new Uint8Array(8) };
    await expect(readWeight(source, 'w', [1])).rejects.toMatchObject({
      code: 'CPT_UNSUPPORTED_RUN',
      message: expect.stringContaining('"w" is F64'),
    });
  });
});

import type { Dtype } from '@pai-cpt/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixtureBytes } from '../test/expected-values.ts';
import { type DistMetadata, type DistTensor, parseDistMetadata } from './dist-metadata.ts';
import { serializeDistMetadata } from './dist-write.ts';
import { getEntry, isKind, type PickleValue } from './pickle-values.ts';
import { unpickle } from './unpickle.ts';

/** More names than a memo number of one byte counts, one of more than 255 bytes, offsets past 4 GiB. */
function written(): DistMetadata {
  const names = Array.from({ length: 150 }, (_, number) => `decoder.layers.weight_${number}`);
  const tensors = new Map<string, DistTensor>();
  for (const [number, name] of [...names, 'naïve '.repeat(60)].entries()) {
    const chunks = [0, 1].map((row) => ({
      offsets: [row, 0],
      sizes: [1, number],
      relativePath: `__${row}_0.distcp`,
      byteOffset: number * 2 ** 26,
      byteLength: 1705 + number,
    }));
    tensors.set(name, { dtype: number % 2 === 0 ? 'BF16' : 'F32', shape: [2, number], chunks });
  }
  const scalar = { offsets: [], sizes: [], relativePath: '__0_0.distcp', byteOffset: 5, byteLength: 6 };
  tensors.set('scalar', { dtype: 'F16', shape: [], chunks: [scalar] });
  const object = { relativePath: '__1_0.distcp', byteOffset: 0, byteLength: 1261 };
  return { tensors, objects: new Map([['decoder.layers.mlp.linear_fc1._extra_state/shard_3_4', object]]) };
}

describe('serializeDistMetadata', () => {
  it('writes the file that Python loaded as this Metadata (fixtures/torch/verify.py)', () => {
    expect(Buffer.from(serializeDistMetadata(written())).equals(fixtureBytes('written.metadata'))).toBe(true);
  });

  it('makes the objects that Megatron-Core pickled', () => {
    const theirs = fixtureBytes('../checkpoints/dist-stacked/megatron/iter_0000005/.metadata');
    const ours = serializeDistMetadata(parseDistMetadata(theirs, 'theirs'));
    const entriesOf = (bytes: Uint8Array, field: string) => {
      const root = unpickle(bytes, field);
      const state = isKind(root, 'record') ? root.state : undefined;
      const found = getEntry(state instanceof Map ? state : undefined, field);
      if (!(found instanceof Map)) throw new Error(`no ${field}`);
      const order = (entry: [PickleValue, PickleValue]) =>
        JSON.stringify(entry, (_, value) => (value instanceof Map ? [...value] : value));
      return [...found].sort((a, b) => (order(a) < order(b) ? -1 : 1));
    };
    for (const field of ['state_dict_metadata', 'storage_data']) {
      expect(entriesOf(theirs, field).length).toBeGreaterThan(20);
      expect(entriesOf(ours, field)).toEqual(entriesOf(theirs, field));
    }
  });

  it('is the inverse of parseDistMetadata', () => {
    const place = {
      relativePath: fc.constantFrom('__0_0.distcp', '__31_0.distcp'),
      byteOffset: fc.maxSafeNat(),
      byteLength: fc.nat(),
    };
    const tensor = fc
      .record({
        dtype: fc.constantFrom<Dtype>('BF16', 'F16', 'F32', 'I64'),
        sizes: fc.array(fc.nat(9), { maxLength: 4 }),
        ...place,
      })
      .map(({ dtype, sizes, ...item }): DistTensor => {
        const offsets = sizes.map((size) => size % 3);
        const shape = sizes.map((size, axis) => size + (offsets[axis] as number));
        return { dtype, shape, chunks: [{ offsets, sizes, ...item, byteOffset: Math.floor(item.byteOffset / 2) }] };
      });
    const object = fc.record({ ...place, byteOffset: fc.nat() });
    const named = <T>(values: fc.Arbitrary<T>, prefix: string) =>
      fc
        .array(fc.tuple(fc.string(), values), { maxLength: 5 })
        .map((list) => new Map(list.map(([name, value]) => [prefix + name.replaceAll('\n', ''), value])));
    fc.assert(
      fc.property(named(tensor, 't'), named(object, 'o'), (tensors, objects) => {
        const metadata = { tensors, objects };
        expect(parseDistMetadata(serializeDistMetadata(metadata), '.metadata')).toEqual(metadata);
      }),
    );
  });

  it('refuses a tensor without a dtype', () => {
    const tensors = new Map([['x', { dtype: undefined, shape: [], chunks: [] }]]);
    expect(() => serializeDistMetadata({ tensors, objects: new Map() })).toThrow('.metadata: "x" has no dtype');
  });

  it('names a string once, so that a chunk takes about a hundred bytes', () => {
    const bytesPerChunk = serializeDistMetadata(written()).byteLength / 303;
    expect(bytesPerChunk).toBeLessThan(150);
  });
});

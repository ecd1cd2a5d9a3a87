import { readdirSync, readFileSync } from 'node:fs';
import { bytesSource } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { fixtureJson } from '../test/expected-values.ts';
import { op, proto, STOP } from '../test/pickle-bytes.ts';
import { parseDistMetadata } from './dist-metadata.ts';
import { openTorchFile } from './open-torch-file.ts';

const { expected, sound, damaged } = fixtureJson('dist-metadata.json');
const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, 'base64'));
const refusal = (bytes: Uint8Array) => {
  try {
    parseDistMetadata(bytes, '.metadata');
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('it was taken');
};

describe('.metadata', () => {
  it.each(Object.keys(sound))('%s is read as torch made it', (spelling) => {
    const { tensors, objects } = parseDistMetadata(bytesOf(sound[spelling]), '.metadata');
    expect({ tensors: Object.fromEntries(tensors), objects: Object.fromEntries(objects) }).toEqual(expected);
  });

  it.each([
    ['a place is missing', 'the chunk of "a.weight" at [0, 4] has no place in storage_data'],
    ['a place is there twice', '"scalar" at [] is stored twice'],
    ['a path upwards', '"a.weight" lies in "../__0_0.distcp"; a file name beside it is needed'],
    ['two dots', '"a.weight" lies in ".."'],
    ['a negative offset', '"a.weight" lies at -1 with length 1500'],
    ['a length past 2^53', '"a.weight" lies at 100 with length 1152921504606846976'],
    ['a chunk outside', 'a chunk of "a.weight" is [0, 4] + [4, 2], outside [4, 5]'],
    ['a chunk of other rank', 'outside [4, 6, 1]'],
    ['no dtype', 'the dtype of "scalar" is missing'],
    ['no chunks', 'the chunks of "scalar" are None'],
    ['a tensor of another class', '"scalar" is an instance of torch.distributed.checkpoint.metadata MetadataIndex'],
    ['a key that is no index', 'a key of storage_data is "scalar"'],
    ['a name that is no text', 'a name in it is 7'],
  ])('with %s is refused', (what, message) => {
    const error = refusal(bytesOf(damaged[what]));
    expect(error).toMatchObject({ code: 'CPT_FORMAT_DIST_METADATA' });
    expect(error.message).toContain(message);
  });

  it('with compressed items is refused, naming the compression', () => {
    expect(refusal(bytesOf(damaged['a compressed item']))).toMatchObject({
      code: 'CPT_UNSUPPORTED_CHECKPOINT',
      message: expect.stringContaining('"a.weight" is stored through zstd'),
    });
  });

  it('that is another pickle is refused', () => {
    expect(refusal(new Uint8Array([...proto(4), ...op('EMPTY_DICT'), ...STOP]))).toMatchObject({
      code: 'CPT_FORMAT_DIST_METADATA',
      message: '.metadata: it is a dict of 0; a Metadata of torch.distributed is needed',
    });
  });

  it('is refused at every cut', () => {
    const bytes = bytesOf(sound['of today']);
    for (let length = 0; length < bytes.byteLength; length++) {
      const { code } = refusal(bytes.slice(0, length));
      expect(code, `${length}`).toMatch(/^CPT_PICKLE_(TRUNCATED|FRAME)$/);
    }
  });

  it('of a Megatron checkpoint names items that are torch files of the shape of their chunk', async () => {
    const folder = new URL('../../../fixtures/checkpoints/dist-stacked/megatron/iter_0000005/', import.meta.url);
    const read = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)));
    const { tensors, objects } = parseDistMetadata(read('.metadata'), '.metadata');
    const names = readdirSync(folder);
    let count = 0;
    for (const { shape, dtype, chunks } of tensors.values()) {
      expect(shape.length).toBeGreaterThan(0);
      for (const { relativePath, byteOffset, byteLength, sizes } of chunks) {
        expect(names).toContain(relativePath);
        const item = read(relativePath).subarray(byteOffset, byteOffset + byteLength);
        const { root } = await openTorchFile(bytesSource(item), relativePath);
        expect(root).toMatchObject({ kind: 'tensor', dtype, shape: sizes });
        count++;
      }
    }
    expect(count).toBeGreaterThan(40);
    expect([...objects.keys()]).toContain('decoder.layers.mlp.linear_fc1._extra_state/shard_3_4');
  });
});

import { describe, expect, it } from 'vitest';
import { type LegacyOrder, reorderedReads } from './legacy-order.ts';

// 2 heads on this rank, 2 rows each for q, k and v, one byte a row; bytes are the places in the order of version 2.
const NEW = [...Array(12).keys()]; // q0 q0' k0 k0' v0 v0' q1 q1' k1 k1' v1 v1'
const OLD: Record<number, number[]> = {
  0: [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11], // all q, all k, all v
  1: [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11], // q k v of each row of a head
};
const args = new Map<string, number | boolean>([
  ['num_attention_heads', 4],
  ['hidden_size', 8],
  ['tensor_model_parallel_size', 2],
]);
const shard = { tensorRank: 1, file: 'rank.pt', byteOffset: 5, shape: [12], stride: [1] };
const order = (version: number): LegacyOrder => ({ version, args, fileBytes: 100 });

describe('reorderedReads', () => {
  it.each([0, 1])('puts the rows of version %i in the order of version 2, behind the end of the file', (version) => {
    const file = [9, 9, 9, 9, 9, ...(OLD[version] as number[])];
    const reads = reorderedReads((_, at, target) => target.set(file.slice(at, at + target.byteLength)));
    const first = reads.reorder(shard, 'U8', 'qkv', order(version));
    const second = reads.reorder(shard, 'U8', 'qkv', order(version));
    expect([first.byteOffset, second.byteOffset]).toEqual([100, 112]);
    for (const { byteOffset } of [first, second]) {
      const whole = new Uint8Array(12);
      reads.readInto('rank.pt', byteOffset, whole);
      expect([...whole]).toEqual(NEW);
      const some = new Uint8Array(5);
      reads.readInto('rank.pt', byteOffset + 4, some);
      expect([...some]).toEqual(NEW.slice(4, 9));
    }
    const plain = new Uint8Array(3);
    reads.readInto('rank.pt', 4, plain);
    expect([...plain]).toEqual([9, ...(OLD[version] as number[]).slice(0, 2)]);
  });

  it.each([
    ['no args', undefined, 'args tell no heads without groups'],
    ['groups', new Map([...args, ['group_query_attention', true], ['num_query_groups', 2]]), 'no heads without groups'],
    ['heads that do not divide', new Map([...args, ['num_attention_heads', 10]]), 'args tell 5 heads a rank'],
  ])('is refused with %s', (_, given, message) => {
    const reads = reorderedReads(() => undefined);
    const changed = { ...order(0), args: given } as LegacyOrder;
    expect(() => reads.reorder(shard, 'U8', 'qkv', changed)).toThrow(
      expect.objectContaining({ code: 'CPT_UNSUPPORTED_MODEL', message: expect.stringContaining(message) }),
    );
    expect(() => reads.reorder({ ...shard, stride: [2] }, 'U8', 'qkv', order(0))).toThrow('checkpoint_version 0');
  });

  it('puts two matrices one behind the other, and refuses those that do not fit', () => {
    const reads = reorderedReads((_, at, target) =>
      target.set([9, 1, 2, 3, 4, 5, 6].slice(at, at + target.byteLength)),
    );
    const [first, second] = [
      { ...shard, byteOffset: 3, shape: [2, 2], stride: [2, 1] },
      { ...shard, byteOffset: 1, shape: [1, 2], stride: [2, 1] },
    ];
    const stacked = reads.stack(first, second, 'U8', 'fc1', order(3));
    expect(stacked).toMatchObject({ byteOffset: 100, shape: [3, 2], stride: [2, 1] });
    const whole = new Uint8Array(6);
    reads.readInto('rank.pt', 100, whole);
    expect([...whole]).toEqual([3, 4, 5, 6, 1, 2]);
    const narrow = { ...second, shape: [1, 3], stride: [3, 1] };
    expect(() => reads.stack(first, narrow, 'U8', 'fc1', order(3))).toThrow('[2, 2] and [1, 3]');
    const transposed = { ...first, stride: [1, 2] };
    expect(() => reads.stack(transposed, second, 'U8', 'fc1', order(3))).toThrow('not packed');
  });

  describe('query and key_value', () => {
    // 2 groups on this rank of 2 heads each, 1 row a head: q0 q1 q2 q3 and k0 v0 k1 v1.
    const grouped = new Map([
      ...args,
      ['num_attention_heads', 8],
      ['group_query_attention', true],
      ['num_query_groups', 4],
    ]);
    const query = { ...shard, byteOffset: 1, shape: [4] };
    const keyValue = { ...shard, byteOffset: 5, shape: [4] };
    const file = [9, 10, 11, 12, 13, 20, 30, 21, 31];
    const open = () => reorderedReads((_, at, target) => target.set(file.slice(at, at + target.byteLength)));

    it('become one matrix, group by group', () => {
      const reads = open();
      const fused = reads.fuse(query, keyValue, 'U8', 'qkv', { ...order(3), args: grouped });
      expect(fused).toMatchObject({ byteOffset: 100, shape: [8], stride: [1] });
      const whole = new Uint8Array(8);
      reads.readInto('rank.pt', 100, whole);
      expect([...whole]).toEqual([10, 11, 20, 30, 12, 13, 21, 31]);
    });

    it.each([
      ['no args', { args: undefined }, 'args tell no heads'],
      ['an old order', { version: 1 }, 'checkpoint_version 1'],
      ['other heads', { args: new Map([...grouped, ['num_attention_heads', 16]]) }, '16 heads in 4 groups over TP 2'],
      ['groups that do not divide', { args: new Map([...grouped, ['num_query_groups', 3]]) }, '8 heads in 3 groups'],
    ])('are refused with %s', (_, changed, message) => {
      const given = { ...order(3), args: grouped, ...changed } as LegacyOrder;
      expect(() => open().fuse(query, keyValue, 'U8', 'qkv', given)).toThrow(
        expect.objectContaining({ code: 'CPT_UNSUPPORTED_MODEL', message: expect.stringContaining(message) }),
      );
    });
  });
});

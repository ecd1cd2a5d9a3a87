import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serializePickle } from './pickle.ts';
import type { PickleValue } from './pickle-values.ts';
import { storageFromId } from './torch-tensors.ts';
import { unpickle } from './unpickle.ts';
import { float, namespace, orderedDict, tensorDeclaration, tuple, type WritableValue } from './writable-values.ts';

const read = (value: WritableValue) => unpickle(serializePickle(value).bytes, 'p', { persistentLoad: storageFromId });
const hex = (value: WritableValue) => Buffer.from(serializePickle(value).bytes).toString('hex');

describe('serializePickle', () => {
  // Each checked with Python 3.11: pickle.loads(bytes.fromhex(…)).
  it.each([
    [null, '80024e2e'],
    [true, '8002882e'],
    [255, '80024bff2e'],
    [256, '80024d00012e'],
    [65536, '80024a000001002e'],
    [-1, '80024affffffff2e'],
    [-(2 ** 31), '80024a000000802e'],
    [2 ** 31, '80028a0500000080002e'],
    [2n ** 63n, '80028a090000000000000080002e'],
    [-128n, '80028a01802e'],
    [0n, '80028a002e'],
    [1.5, '8002473ff80000000000002e'],
    [float(3), '80024740080000000000002e'],
    [2 ** 60, '80024743b00000000000002e'],
    ['é', '80025802000000c3a92e'],
    [[], '80025d2e'],
    [tuple([]), '8002292e'],
    [{ kind: 'dtype', dtype: 'BF16' } as const, '800263746f7263680a62666c6f617431360a71002e'],
  ] as [WritableValue, string][])('%#', (value, expected) => {
    expect(hex(value)).toBe(expected);
  });

  it('is the inverse of unpickle', () => {
    const values = fc.letrec<{ value: WritableValue }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constant(null),
        fc.boolean(),
        fc.maxSafeInteger(),
        fc.double(),
        fc.bigInt({ min: 2n ** 53n, max: 2n ** 500n }),
        fc.string({ unit: 'binary' }),
        fc.array(tie('value')),
        fc.array(fc.tuple(fc.string(), tie('value'))).map((entries) => new Map(entries)),
      ),
    })).value;
    fc.assert(
      fc.property(values, (value) => {
        expect(read(value)).toEqual(value);
      }),
      { numRuns: 150 },
    );
  });

  it('writes long lists and dicts in batches, so that the reader keeps a small stack', () => {
    const list = Array.from({ length: 2500 }, (_, i) => i);
    const bytes = Buffer.from(serializePickle(list).bytes);
    expect(bytes.filter((byte) => byte === 0x65).byteLength).toBeGreaterThanOrEqual(3);
    expect(read(list)).toEqual(list);
    const dict = new Map(list.map((i) => [i, i]));
    expect(read(dict)).toEqual(dict);
  });

  it('writes a namespace, an ordered dict, and one storage for one declaration placed twice', () => {
    const weight = tensorDeclaration('BF16', [2, 3]);
    const other = tensorDeclaration('BF16', [2, 3]);
    const root = orderedDict([
      ['a', weight],
      ['tied', weight],
      ['b', other],
      ['args', namespace({ n: 1, '7': tuple([1, 2, 3, 4]) })],
    ]);
    expect(serializePickle(root).tensors).toEqual([weight, other]);
    const map = read(root) as Map<string, PickleValue>;
    const tensor = { kind: 'tensor', dtype: 'BF16', shape: [2, 3], stride: [3, 1], storageOffset: 0, storageLength: 6 };
    expect(map.get('a')).toMatchObject({ ...tensor, storageKey: '0' });
    expect(map.get('tied')).toEqual(map.get('a'));
    expect(map.get('b')).toMatchObject({ ...tensor, storageKey: '1' });
    expect(map.get('args')).toMatchObject({
      global: 'argparse Namespace',
      state: new Map<string, unknown>([
        ['7', [1, 2, 3, 4]],
        ['n', 1],
      ]),
    });
  });

  it('refuses what has no pickle', () => {
    const bad = expect.objectContaining({ code: 'CPT_INPUT_INVALID' });
    expect(() => serializePickle('\ud800')).toThrow(bad);
    expect(() => serializePickle(1n << 5000n)).toThrow(bad);
    expect(() => serializePickle(undefined as unknown as WritableValue)).toThrow(bad);
    expect(() => serializePickle({} as unknown as WritableValue)).toThrow(bad);
  });
});

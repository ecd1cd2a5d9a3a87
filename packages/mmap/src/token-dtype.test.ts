import { expect, test } from 'vitest';
import { readablePairs } from '../test/fixtures.ts';
import {
  chooseDtype,
  decodeTokens,
  TOKEN_DTYPES,
  type TokenDtype,
  tokenDtypeOfCode,
  tokenEncoder,
} from './token-dtype.ts';

test.each([
  [1, 'uint8'],
  [2, 'int8'],
  [3, 'int16'],
  [4, 'int32'],
  [5, 'int64'],
  [6, undefined],
  [7, undefined],
  [8, 'uint16'],
  [9, undefined],
  [0, undefined],
])('code %i is %s', (code, dtype) => {
  expect(tokenDtypeOfCode(code)).toBe(dtype);
});

test.each([
  ['auto', 65499, 'uint16'],
  ['auto', 65500, 'int32'],
  ['auto', 151643, 'int32'],
  ['uint16', 151643, 'uint16'],
  ['int32', 10, 'int32'],
] as const)('%s with a vocabulary of %i is %s', (wanted, vocabSize, dtype) => {
  expect(chooseDtype(wanted, vocabSize)).toBe(dtype);
});

test('an unknown dtype is refused with the choices', () => {
  expect(() => chooseDtype('uint32', 10)).toThrow('dtype "uint32" is unknown; use auto, uint16, int32');
});

const whole = readablePairs.filter((pair) => pair.warnings.length === 0);

test.each(whole)('$name: the bytes are read and laid as struct laid them', ({ dtype, documents, bin }) => {
  const ids = documents.flat(2);
  expect(Array.from(decodeTokens(bin, dtype as TokenDtype) as Int32Array)).toEqual(ids);
  const buffer = new ArrayBuffer(bin.byteLength);
  tokenEncoder(buffer, dtype as TokenDtype)(Int32Array.from(ids), 0);
  expect(Buffer.from(buffer)).toEqual(bin);
});

test('bytes at an odd address are read', () => {
  const shifted = new Uint8Array([0xff, 1, 0, 2, 0]).subarray(1);
  expect(decodeTokens(shifted, 'uint16')).toEqual(Int32Array.of(1, 2));
});

test('ids are copied, so that a reused read buffer does not change them', () => {
  const bytes = new Uint8Array(4);
  const ids = decodeTokens(bytes, 'int32') as Int32Array;
  bytes.fill(1);
  expect(ids).toEqual(Int32Array.of(0));
});

test.each([[2n ** 31n], [-(2n ** 31n) - 1n], [2n ** 32n], [2n ** 62n]])(
  'the int64 id %i is reported, not cut',
  (id) => {
    const bytes = new Uint8Array(BigInt64Array.of(7n, id).buffer);
    expect(decodeTokens(bytes, 'int64')).toEqual({ outOfRange: 1 });
  },
);

test('limits are those of the two’s complement', () => {
  expect(TOKEN_DTYPES.uint16).toMatchObject({ min: 0, max: 65535 });
  expect(TOKEN_DTYPES.int32).toMatchObject({ min: -2147483648, max: 2147483647 });
  expect(TOKEN_DTYPES.int16).toMatchObject({ min: -32768, max: 32767 });
  expect(TOKEN_DTYPES.int8).toMatchObject({ min: -128, max: 127 });
});

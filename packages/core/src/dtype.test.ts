import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bytesPerElement, castDtype, isDtype } from './dtype.ts';

const torch = JSON.parse(readFileSync(new URL('../../../fixtures/core/cast.json', import.meta.url), 'utf8')) as {
  f32: number[];
  bf16: number[];
  widened: number[];
};
const bytesOf = (array: Uint16Array | Uint32Array) => new Uint8Array(array.buffer);
const as16 = (bytes: Uint8Array) => [...new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)];
const as32 = (bytes: Uint8Array) => [...new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];

describe('castDtype', () => {
  it('rounds F32 to BF16 as torch does, ties, denormals and overflow to infinity included', () => {
    expect(as16(castDtype(bytesOf(Uint32Array.from(torch.f32)), 'F32', 'BF16'))).toEqual(torch.bf16);
  });

  it('widens BF16 to F32 as torch does', () => {
    expect(as32(castDtype(bytesOf(Uint16Array.from(torch.bf16)), 'BF16', 'F32'))).toEqual(torch.widened);
  });

  it('keeps a NaN a NaN: cutting 0x7f800001 would make an infinity', () => {
    const rounded = as16(castDtype(bytesOf(Uint32Array.of(0x7f800001, 0xffffffff, 0x7fc12345)), 'F32', 'BF16'));
    expect(rounded).toEqual([0x7fc0, 0xffff, 0x7fc1]);
  });

  it('reads input at an odd offset of its buffer', () => {
    const shifted = new Uint8Array(5);
    shifted.set([0x00, 0x00, 0x80, 0x3f], 1);
    expect(as16(castDtype(shifted.subarray(1), 'F32', 'BF16'))).toEqual([0x3f80]);
    expect(as16(castDtype(Buffer.from(shifted.buffer, 1, 4), 'F32', 'BF16'))).toEqual([0x3f80]);
  });

  it('returns the same bytes for equal dtypes and refuses a pair it does not know', () => {
    const bytes = Uint8Array.of(1, 2);
    expect(castDtype(bytes, 'F16', 'F16')).toBe(bytes);
    expect(() => castDtype(bytes, 'F16', 'I8')).toThrow(/no conversion from F16 to I8/);
  });
});

describe('dtype names', () => {
  it('knows the spellings of safetensors and nothing inherited', () => {
    expect(isDtype('BF16')).toBe(true);
    expect(isDtype('bfloat16')).toBe(false);
    expect(isDtype('constructor')).toBe(false);
    expect(bytesPerElement('F8_E4M3')).toBe(1);
  });
});

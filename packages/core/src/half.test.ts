import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { castDtype } from './dtype.ts';
import { narrowToHalves, widenHalves } from './half.ts';

const torch = JSON.parse(readFileSync(new URL('../../../fixtures/core/half.json', import.meta.url), 'utf8')) as {
  f32: number[];
  f16: number[];
  bf16: number[];
  f16OfBf16: number[];
  bf16OfF16: number[];
};
const as16 = (bytes: Uint8Array) => [...new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)];
const isFinite16 = (half: number) => (half & 0x7c00) !== 0x7c00;

describe('narrowToHalves', () => {
  it('rounds as torch does: ties, subnormals, underflow to zero, infinities', () => {
    const kept = torch.f32.map((bits, i) => [bits, torch.f16[i] as number] as const);
    const fitting = kept.filter(([bits, half]) => isFinite16(half) || (bits & 0x7fffffff) === 0x7f800000);
    expect(fitting.length).toBeGreaterThan(600);
    expect([...narrowToHalves(Uint32Array.from(fitting, ([bits]) => bits))]).toEqual(fitting.map(([, half]) => half));
  });

  it('refuses exactly the finite values that torch makes an infinity', () => {
    const lost = torch.f32.filter((bits, i) => !isFinite16(torch.f16[i] as number) && (bits & 0x7fffffff) < 0x7f800000);
    expect(lost.length).toBeGreaterThan(1);
    for (const bits of lost) {
      expect(() => narrowToHalves(Uint32Array.of(0, bits))).toThrow(
        expect.objectContaining({
          code: 'CPT_INPUT_CAST_OVERFLOW',
          message: expect.stringContaining('does not fit F16'),
        }),
      );
    }
  });

  it('keeps a NaN a NaN, with the high bits of its payload', () => {
    expect([...narrowToHalves(Uint32Array.of(0x7f800001, 0xffffffff, 0x7fc12000))]).toEqual([0x7e00, 0xffff, 0x7e09]);
  });
});

describe('widenHalves', () => {
  it('is exact for every half: narrowed again it is the same, a NaN made quiet', () => {
    const halves = Uint16Array.from({ length: 0x10000 }, (_, half) => half);
    const isNan = (half: number) => (half & 0x7fff) > 0x7c00;
    expect([...narrowToHalves(widenHalves(halves))]).toEqual(
      [...halves].map((half) => half | (isNan(half) ? 0x200 : 0)),
    );
    expect([...widenHalves(Uint16Array.of(0x3c00, 0x0001, 0x8400, 0x7bff, 0xfc00))]).toEqual([
      0x3f800000, 0x33800000, 0xb8800000, 0x477fe000, 0xff800000,
    ]);
  });
});

describe('castDtype', () => {
  const fits = torch.f16OfBf16.map((half, i) => isFinite16(half) && isFinite16(torch.f16[i] as number));
  it('goes between F16 and BF16 as torch does', () => {
    const only = (values: number[]) => Uint16Array.from(values.filter((_, i) => fits[i]));
    const bytesOf = (values: number[]) => new Uint8Array(only(values).buffer);
    expect(as16(castDtype(bytesOf(torch.bf16), 'BF16', 'F16'))).toEqual([...only(torch.f16OfBf16)]);
    expect(as16(castDtype(bytesOf(torch.f16), 'F16', 'BF16'))).toEqual([...only(torch.bf16OfF16)]);
  });
});

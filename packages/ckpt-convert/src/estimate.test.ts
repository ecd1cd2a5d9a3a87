import { describe, expect, it } from 'vitest';
import { estimateOutput } from './estimate.ts';

const file = (name: string, byteLength: number) => {
  const copies = [{ shard: 0, from: 0, to: 0, bytes: byteLength / 4, count: 4, fromStep: 0, toStep: 0 }];
  return { name, byteLength, tensors: [{ name: 't', dtype: 'BF16' as const, shape: [], sources: [], copies }] };
};

describe('estimateOutput', () => {
  it('counts what is read and written, and gives a range of time: Qwen2-72B is 145 GB, read and written once', () => {
    const files = Array.from({ length: 29 }, (_, at) => file(`model-${at}`, 5e9));
    const estimate = estimateOutput(files, { peakRssBytes: 150e6 });
    expect(estimate).toMatchObject({ readBytes: 145e9, writtenBytes: 145e9, seconds: { least: 145 } });
    expect(estimate.seconds.most).toBeCloseTo(290 / 0.3, 0);
    expect(estimate.peakMemoryBytes).toBeLessThan(200e6);
    expect(estimateOutput(files.slice(0, 1), { peakRssBytes: 150e6 }).peakMemoryBytes).toBe(estimate.peakMemoryBytes);
  });

  it('is of one part where there are parts, and of more memory with more threads', () => {
    const files = [1, 2, 3, 4].map((at) => file(`model-${at}`, 1e9));
    const part = estimateOutput(files, { peakRssBytes: 0, part: { index: 2, of: 2 }, workers: 4 });
    expect(part.files.map(({ name }) => name)).toEqual(['model-3', 'model-4']);
    expect(part.writtenBytes).toBe(2e9);
    expect(part.peakMemoryBytes).toBeGreaterThan(estimateOutput(files, { peakRssBytes: 0 }).peakMemoryBytes);
  });
});

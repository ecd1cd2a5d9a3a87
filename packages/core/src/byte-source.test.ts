import { describe, expect, it } from 'vitest';
import { bytesSource, countingSource, sliceSource } from './byte-source.ts';

const source = () => bytesSource(Uint8Array.of(10, 11, 12, 13, 14), 'five');

describe('byte sources', () => {
  it('reads exact ranges, through slices too', async () => {
    expect([...(await source().read(1, 3))]).toEqual([11, 12, 13]);
    const slice = sliceSource(sliceSource(source(), 1, 4), 1, 2);
    expect(slice.byteLength).toBe(2);
    expect([...(await slice.read(0, 2))]).toEqual([12, 13]);
  });

  it('rejects a range that is not inside, naming file, range and size', async () => {
    await expect(source().read(3, 3)).rejects.toThrow('five: bytes 3 to 6 are needed, the file has 5');
    await expect(source().read(-1, 2)).rejects.toMatchObject({ code: 'CPT_FORMAT_TRUNCATED' });
    await expect(source().read(0, 0.5)).rejects.toMatchObject({ code: 'CPT_FORMAT_TRUNCATED' });
    await expect(sliceSource(source(), 1, 2).read(1, 2)).rejects.toMatchObject({ code: 'CPT_FORMAT_TRUNCATED' });
    expect(() => sliceSource(source(), 4, 2)).toThrow(/bytes 4 to 6/);
  });

  it('counts reads and bytes', async () => {
    const counted = countingSource(source());
    await counted.read(0, 2);
    await counted.read(2, 3);
    expect(counted.stats).toEqual({ reads: 2, bytes: 5 });
  });

  it('stops on an aborted signal', async () => {
    await expect(source().read(0, 1, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
  });
});

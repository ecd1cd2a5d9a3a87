import { describe, expect, it } from 'vitest';
import { readFixture } from '../test/fixtures.ts';
import { countNeverRead } from './never-read.ts';
import { replaySamples } from './sample-index.ts';

interface Case {
  name: string;
  lengths: number[];
  seq_length: number;
  num_samples: number;
  seed: number;
  from: number;
  to: number;
  drop_last: boolean;
  never_read: number;
  never_read_all: number;
  never_read_first: number;
}
const { replays } = readFixture('mmap/samples_more.json') as { replays: Case[] };

// The generator marks every token of every sample, one by one.
describe.each(replays)('$name', (wanted) => {
  it('counts the tokens that no sample reads', () => {
    const lengths = Int32Array.from(wanted.lengths);
    const replay = replaySamples({
      lengths,
      range: { from: wanted.from, to: wanted.to },
      sequenceLength: wanted.seq_length,
      samples: wanted.num_samples,
      seed: wanted.seed,
      keepsPartialSample: !wanted.drop_last,
    });
    const never = (consumed: number) => countNeverRead(replay, lengths, wanted.seq_length, consumed);
    expect(never(wanted.num_samples)).toBe(wanted.never_read);
    expect(never(replay.samples)).toBe(wanted.never_read_all);
    expect(never(1)).toBe(wanted.never_read_first);
    expect(never(0)).toBe(wanted.lengths.slice(wanted.from, wanted.to).reduce((a, b) => a + b, 0));
  });
});

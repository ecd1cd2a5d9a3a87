import type { SamplePart, SampleReplay } from './sample-index.ts';

/**
 * Tokens that none of the first `consumed` samples reads, neither as input nor as label. With several epochs a token counts when
 * each of its places in the sequence order stays unread.
 */
export function countNeverRead(
  replay: SampleReplay,
  lengths: Int32Array,
  sequenceLength: number,
  consumed: number,
): number {
  const unread = unreadParts(replay, lengths, unreadStretches(replay, sequenceLength, consumed));
  let tokens = 0;
  if (replay.epochs === 1) {
    for (const { count } of unread) tokens += count;
    return tokens;
  }
  const bySequence = new Map<number, SamplePart[]>();
  for (const part of unread) {
    const parts = bySequence.get(part.sequence);
    if (parts) parts.push(part);
    else bySequence.set(part.sequence, [part]);
  }
  for (const parts of bySequence.values()) tokens += coveredBy(parts, replay.epochs);
  return tokens;
}

/** From and to (not included) in the joined sequences, rising. Sample k reads k·L to k·L + L, the last one included. */
function* unreadStretches(
  replay: SampleReplay,
  sequenceLength: number,
  consumed: number,
): Generator<{ from: number; to: number }> {
  const { samples, shuffleIndex } = replay;
  const isTaken = new Uint8Array(samples);
  for (let number = 0; number < consumed; number++) isTaken[shuffleIndex[number] as number] = 1;
  for (let sample = 0; sample <= samples; sample++) {
    if (isTaken[sample]) continue;
    const first = sample;
    while (sample < samples && !isTaken[sample]) sample++;
    const from = first === 0 ? 0 : first * sequenceLength + 1;
    yield { from, to: sample === samples ? Number.POSITIVE_INFINITY : sample * sequenceLength };
  }
}

/** The stretches as parts of the sequences they cross. */
function* unreadParts(
  { sequenceOrder }: SampleReplay,
  lengths: Int32Array,
  stretches: Iterable<{ from: number; to: number }>,
): Generator<SamplePart> {
  let place = 0;
  let start = 0; // of the sequence at `place`, in the joined sequences
  for (const { from, to } of stretches) {
    for (; place < sequenceOrder.length; place++) {
      const sequence = sequenceOrder[place] as number;
      const length = lengths[sequence] as number;
      const begin = Math.max(from - start, 0);
      const end = Math.min(to - start, length);
      if (end > begin) yield { sequence, from: begin, count: end - begin };
      if (start + length >= to) break; // the next stretch may begin in the same sequence
      start += length;
    }
  }
}

/** Tokens that lie in `times` of the parts of one sequence. Parts of one epoch never overlap. */
function coveredBy(parts: readonly SamplePart[], times: number): number {
  if (parts.length < times) return 0;
  const events = parts.flatMap(({ from, count }) => [
    { at: from, step: 1 },
    { at: from + count, step: -1 },
  ]);
  events.sort((a, b) => a.at - b.at || a.step - b.step);
  let covered = 0;
  let depth = 0;
  let since = 0;
  for (const { at, step } of events) {
    if (depth === times) covered += at - since;
    depth += step;
    since = at;
  }
  return covered;
}

import { createHash } from 'node:crypto';

/** A line, short: two lines have the same digest only when they are the same. */
export function lineDigest(line: string): string {
  return createHash('sha256').update(line).digest('base64url').slice(0, 12);
}

/** Where a new window of a log overlaps what is known of it. */
export interface Overlap {
  /** Indices into the window of the lines that were not known, ascending. */
  readonly fresh: number[];
  /** Known lines and window in one sequence, in the log's order, each line once. */
  readonly merged: string[];
  /** True when the window holds a line that was known: then nothing between the two is missing. */
  readonly isConnected: boolean;
}

/** So many lines in a row are no coincidence. */
const SURE_RUN = 16;

/**
 * Finds the lines of `window` that are not yet in `known`; both are digests, oldest first. Usually the end of one is the
 * beginning of the other. A line that was delivered late sits between known ones: then the longest common subsequence tells
 * old from new. Counting equal lines instead would lose a repeated line whenever an old one has left the window.
 */
export function findOverlap(known: readonly string[], window: readonly string[]): Overlap {
  const run = endOverlap(known, window);
  if (run >= SURE_RUN || run === known.length || run === window.length) return joinAtEnd(known, window, run);
  const pairs = commonSubsequence(known, window);
  if (pairs.length > run) return joinInside(known, window, pairs);
  if (run === 0) return joinAtEnd(known, window, 0);
  const atEnd = Array.from({ length: run }, (_, index): [number, number] => [known.length - run + index, index]);
  return joinInside(known, window, atEnd);
}

/**
 * What the window does not show of known lines is kept: a collector that brings lines late may also show them and not, and
 * what was forgotten would be told again. A line that changed its place was known; one equal to a line long before the
 * window is another.
 */
function joinInside(known: readonly string[], window: readonly string[], pairs: readonly [number, number][]): Overlap {
  const [firstKnown] = pairs[0] as [number, number];
  const matchedKnown = new Set(pairs.map(([inKnown]) => inKnown));
  const elsewhere = new Map<string, number>();
  for (let index = Math.max(0, firstKnown - SURE_RUN); index < known.length; index++) {
    const line = known[index] as string;
    if (!matchedKnown.has(index)) elsewhere.set(line, (elsewhere.get(line) ?? 0) + 1);
  }
  const fresh: number[] = [];
  const merged: string[] = [];
  let [nextKnown, nextWindow] = [0, 0];
  for (const [inKnown, inWindow] of [...pairs, [known.length, window.length] as const]) {
    // Behind the last pair what is known stays at the end: a window that ends before it brings nothing for the end.
    const kept = known.slice(nextKnown, inKnown);
    const isEnd = inKnown === known.length;
    if (!isEnd) merged.push(...kept);
    for (let index = nextWindow; index < inWindow; index++) {
      const line = window[index] as string;
      const count = elsewhere.get(line) ?? 0;
      if (count > 0) elsewhere.set(line, count - 1);
      else {
        fresh.push(index);
        merged.push(line);
      }
    }
    if (isEnd) merged.push(...kept);
    else merged.push(known[inKnown] as string);
    [nextKnown, nextWindow] = [inKnown + 1, inWindow + 1];
  }
  return { fresh, merged, isConnected: true };
}

function joinAtEnd(known: readonly string[], window: readonly string[], run: number): Overlap {
  return {
    fresh: Array.from({ length: window.length - run }, (_, index) => run + index),
    merged: [...known, ...window.slice(run)],
    isConnected: run > 0 || known.length === 0,
  };
}

/** Length of the longest end of `known` that begins `window`, in linear time (the failure function of Knuth, Morris, Pratt). */
function endOverlap(known: readonly string[], window: readonly string[]): number {
  const failure = new Array<number>(window.length).fill(0);
  for (let i = 1, run = 0; i < window.length; i++) {
    while (run > 0 && window[i] !== window[run]) run = failure[run - 1] as number;
    if (window[i] === window[run]) run++;
    failure[i] = run;
  }
  let run = 0;
  for (const line of known) {
    while (run > 0 && line !== window[run]) run = failure[run - 1] as number;
    if (line === window[run]) run++;
  }
  return run;
}

/** Index pairs of the longest common subsequence. */
function commonSubsequence(a: readonly string[], b: readonly string[]): [number, number][] {
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const skip = Math.max(lengths[(i + 1) * width + j] as number, lengths[i * width + j + 1] as number);
      lengths[i * width + j] = a[i] === b[j] ? (lengths[(i + 1) * width + j + 1] as number) + 1 : skip;
    }
  }
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if ((lengths[(i + 1) * width + j] as number) >= (lengths[i * width + j + 1] as number)) i++;
    else j++;
  }
  return pairs;
}

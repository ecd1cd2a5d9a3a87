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
  if (pairs.length <= run) return joinAtEnd(known, window, run);
  const matched = new Set(pairs.map(([, inWindow]) => inWindow));
  const [firstKnown] = pairs[0] as [number, number];
  const [lastKnown] = pairs.at(-1) as [number, number];
  const fresh = window.map((_, index) => index).filter((index) => !matched.has(index));
  // A window that ends before what is known brings nothing for the end; what is known there stays.
  const merged = [...known.slice(0, firstKnown), ...window, ...known.slice(lastKnown + 1)];
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

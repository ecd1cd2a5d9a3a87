import { classAt, JOINER, SEPARATOR, SPACED_LETTER, UNSPACED_LETTER, type Writing, widthAt } from './writing.ts';

/** What two texts are compared by: words, or characters where no space separates words. */
export interface Units {
  /** The text they are cut from, as `simplify` gives it. */
  text: string;
  count: number;
  /** One well mixed 32-bit number for each unit; longer than `count`. */
  hashes: Int32Array;
  /** Where each begins and ends in `text`. */
  starts: Int32Array;
  ends: Int32Array;
}

/** A text in the form that is compared: NFKC (full-width letters, ligatures) in lower case. */
export function simplify(text: string): string {
  return text.normalize('NFKC').toLowerCase();
}

/**
 * A function that cuts a simplified text into units. Spaced: runs of letters, marks and digits, and each letter of an unspaced
 * script by itself. Unspaced: each letter, mark and digit by itself. All else separates. The result is overwritten by the next call.
 */
export function createUnitReader(): (text: string, writing: Writing) => Units {
  const units: Units = {
    text: '',
    count: 0,
    hashes: new Int32Array(1024),
    starts: new Int32Array(1024),
    ends: new Int32Array(1024),
  };
  const push = (start: number, end: number) => {
    const { count, text } = units;
    if (count === units.hashes.length) grow(units);
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    units.hashes[count] = mix32(hash);
    units.starts[count] = start;
    units.ends[count] = end;
    units.count++;
  };
  return (text, writing) => {
    units.text = text;
    units.count = 0;
    const isJoined = writing === 'spaced';
    let wordStart = -1;
    for (let at = 0; at < text.length; ) {
      const kind = classAt(text, at);
      const end = at + widthAt(text, at);
      if (isJoined && (kind === SPACED_LETTER || kind === JOINER)) {
        if (wordStart < 0) wordStart = at;
      } else {
        if (wordStart >= 0) push(wordStart, at);
        wordStart = -1;
        if (kind === UNSPACED_LETTER || (!isJoined && kind !== SEPARATOR)) push(at, end);
      }
      at = end;
    }
    if (wordStart >= 0) push(wordStart, text.length);
    return units;
  };
}

function grow(units: Units): void {
  for (const name of ['hashes', 'starts', 'ends'] as const) {
    const larger = new Int32Array(units[name].length * 2);
    larger.set(units[name]);
    units[name] = larger;
  }
}

/** Spreads every bit of a 32-bit number over all bits of the result (the finalizer of MurmurHash3). */
export function mix32(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/**
 * One 32-bit number for each run of `n` neighbouring units, by a rolling polynomial mod 2^32. Two different odd `base` give 64 bits.
 * @returns how many were written to `into`, which must hold `units.count`.
 */
export function hashNgrams(units: Units, n: number, base: number, into: Int32Array): number {
  const { count, hashes } = units;
  if (count < n) return 0;
  let leaving = 1; // base^n: what the unit that leaves has been multiplied by
  for (let i = 0; i < n; i++) leaving = Math.imul(leaving, base);
  let rolling = 0;
  for (let i = 0; i < count; i++) {
    rolling = (Math.imul(rolling, base) + (hashes[i] as number)) | 0;
    if (i >= n) rolling = (rolling - Math.imul(leaving, hashes[i - n] as number)) | 0;
    if (i >= n - 1) into[i - n + 1] = mix32(rolling);
  }
  return count - n + 1;
}

/** The units `from` to `to` (not included) for a person: words with single spaces, characters without. */
export function spellUnits(units: Units, from: number, to: number, writing: Writing): string {
  const spelled: string[] = [];
  for (let i = from; i < to; i++) spelled.push(units.text.slice(units.starts[i], units.ends[i]));
  return spelled.join(writing === 'spaced' ? ' ' : '');
}

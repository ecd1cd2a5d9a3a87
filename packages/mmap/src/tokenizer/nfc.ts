import { COMBINING_CLASSES, COMPOSITIONS, DECOMPOSITIONS } from './unicode-data.ts';

// Hangul syllables compose by arithmetic (The Unicode Standard, section 3.12).
const S = 0xac00;
const L = 0x1100;
const V = 0x1161;
const T = 0x11a7;
const L_COUNT = 19;
const V_COUNT = 21;
const T_COUNT = 28;
const S_COUNT = L_COUNT * V_COUNT * T_COUNT;

const unpack = (packed: string): number[] => packed.split(' ').map((digits) => Number.parseInt(digits, 36));
const pairKey = (first: number, second: number): number => first * 0x110000 + second;

const decompositions = new Map<number, number[]>();
const compositions = new Map<number, number>();
const combiningClasses = new Map<number, number>();
{
  const packed = unpack(DECOMPOSITIONS);
  for (let i = 0; i < packed.length; ) {
    const [codePoint, count] = [packed[i] as number, packed[i + 1] as number];
    decompositions.set(codePoint, packed.slice(i + 2, i + 2 + count));
    i += 2 + count;
  }
  const pairs = unpack(COMPOSITIONS);
  for (let i = 0; i < pairs.length; i += 3) {
    compositions.set(pairKey(pairs[i] as number, pairs[i + 1] as number), pairs[i + 2] as number);
  }
  const classes = unpack(COMBINING_CLASSES);
  for (let i = 0; i < classes.length; i += 2) combiningClasses.set(classes[i] as number, classes[i + 1] as number);
}

/**
 * Text in NFC by the tables of Unicode 9, which is what the reference tokenizer's normaliser knows. `String.normalize` follows
 * the running engine instead: with Unicode 17 it reorders 154 marks and composes 21 characters that the reference leaves alone.
 */
export function normalizeNfc(text: string): string {
  let normalized = '';
  let done = 0;
  for (let at = 0; at < text.length; ) {
    if (!isUnsafeAt(text, at)) {
      at++;
      continue;
    }
    // Nothing joins a safe character to what stands before it: it and the unsafe ones behind it are changed by themselves.
    const from = Math.max(done, isLowSurrogate(text, at - 1) ? at - 2 : at - 1);
    while (at < text.length && isUnsafeAt(text, at)) at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1;
    normalized += text.slice(done, from) + normalizeAll(text.slice(from, at));
    done = at;
  }
  return normalized + text.slice(done);
}

const normalizeAll = (text: string): string => stringOf(compose(reorder(decompose(text))));

let unsafe: Uint8Array | undefined;

/** Bit by code point, up to the last plane that has unsafe ones. */
function unsafeTable(): Uint8Array {
  const table = new Uint8Array(0x30000);
  for (const codePoint of nfcUnsafeCodePoints()) table[codePoint] = 1;
  return table;
}

function isUnsafeAt(text: string, at: number): boolean {
  unsafe ??= unsafeTable();
  const unit = text.charCodeAt(at);
  if ((unit & 0xfc00) !== 0xd800) return unsafe[unit] === 1;
  return unsafe[text.codePointAt(at) as number] === 1;
}

const isLowSurrogate = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

/** Code points that may change under NFC, or change with what stands before them: text without them is in NFC already. */
export function* nfcUnsafeCodePoints(): Generator<number> {
  yield* combiningClasses.keys();
  for (const key of compositions.keys()) yield key % 0x110000;
  const composed = new Set(compositions.values());
  for (const codePoint of decompositions.keys()) if (!composed.has(codePoint)) yield codePoint;
  for (let i = 0; i < V_COUNT; i++) yield V + i;
  for (let i = 1; i < T_COUNT; i++) yield T + i;
}

function decompose(text: string): number[] {
  const points: number[] = [];
  for (const char of text) {
    const codePoint = char.codePointAt(0) as number;
    const syllable = codePoint - S;
    const parts = decompositions.get(codePoint);
    if (parts) points.push(...parts);
    else if (syllable >= 0 && syllable < S_COUNT) {
      points.push(L + Math.floor(syllable / (V_COUNT * T_COUNT)), V + (Math.floor(syllable / T_COUNT) % V_COUNT));
      if (syllable % T_COUNT !== 0) points.push(T + (syllable % T_COUNT));
    } else points.push(codePoint);
  }
  return points;
}

/** Sorts each run of combining marks by class, stably. */
function reorder(points: number[]): number[] {
  for (let start = 0; start < points.length; start++) {
    if (!combiningClasses.has(points[start] as number)) continue;
    let end = start + 1;
    while (end < points.length && combiningClasses.has(points[end] as number)) end++;
    if (end - start > 1) {
      const run = points.slice(start, end);
      run.sort((a, b) => (combiningClasses.get(a) as number) - (combiningClasses.get(b) as number));
      for (let i = 0; i < run.length; i++) points[start + i] = run[i] as number;
    }
    start = end;
  }
  return points;
}

/** Joins a starter with what follows it, unless a mark of the same or a higher class stands between (then it is blocked). */
function compose(points: number[]): number[] {
  const out: number[] = [];
  let starter = -1; // index in `out`
  let lastClass = 0;
  for (const codePoint of points) {
    const combiningClass = combiningClasses.get(codePoint) ?? 0;
    const isAdjacent = starter === out.length - 1;
    if (starter >= 0 && (isAdjacent || (lastClass !== 0 && lastClass < combiningClass))) {
      const composed = composePair(out[starter] as number, codePoint);
      if (composed !== undefined) {
        out[starter] = composed;
        continue;
      }
    }
    if (combiningClass === 0) starter = out.length;
    lastClass = combiningClass;
    out.push(codePoint);
  }
  return out;
}

function composePair(first: number, second: number): number | undefined {
  const leading = first - L;
  const vowel = second - V;
  if (leading >= 0 && leading < L_COUNT && vowel >= 0 && vowel < V_COUNT) {
    return S + (leading * V_COUNT + vowel) * T_COUNT;
  }
  const syllable = first - S;
  const trailing = second - T;
  if (syllable >= 0 && syllable < S_COUNT && syllable % T_COUNT === 0 && trailing > 0 && trailing < T_COUNT) {
    return first + trailing;
  }
  return compositions.get(pairKey(first, second));
}

function stringOf(points: number[]): string {
  let text = '';
  for (let i = 0; i < points.length; i += 8192) text += String.fromCodePoint(...points.slice(i, i + 8192));
  return text;
}

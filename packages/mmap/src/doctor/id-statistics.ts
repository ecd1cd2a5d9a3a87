import type { TokenDtype } from '../token-dtype.ts';
import { createRepeatCounter } from './repeated-documents.ts';
import type { Piece } from './walk.ts';

/** Ids below this are counted one by one; no vocabulary of today reaches it. */
const COUNTED_IDS = 1 << 18;
/** No vocabulary at all reaches this: an id above it is a number of another width or no id. */
export const LARGEST_VOCABULARY = 1 << 20;
const MOST_LAST_IDS = 1 << 16;

/** One id in the dataset. */
export interface IdPlace {
  document: number;
  sequence: number;
  /** Its offset in `.bin`. */
  byteOffset: number;
}

/** What the ids that were read look like. */
export interface IdStatistics {
  tokens: number;
  /** Undefined without tokens. */
  min: number | undefined;
  max: number | undefined;
  /** Where each of them was met first. */
  minPlace: IdPlace | undefined;
  maxPlace: IdPlace | undefined;
  /** How often each id occurs, `[2^18]`. */
  counts: Float64Array;
  /** How many ids were met at all, and the one met most often, as far as they are counted one by one. */
  distinct: number;
  mostFrequent: { id: number; count: number };
  /**
   * How many equally frequent ids would meet as often as these do: 1 / Σ p², estimated without bias from pairs. Text of any
   * language gives 50 to 300, evenly random ids the size of the vocabulary.
   */
  effective: number;
  negative: number;
  /** Ids equal to -100, the label that training ignores. */
  ignoredLabels: number;
  /** Ids of 2^18 and more, and those of them that are 2^20 and more. */
  beyondCounts: number;
  beyondAll: number;
  /** Documents whose last id was read, and how often each id is it. */
  documentEnds: number;
  lastIds: ReadonlyMap<number, number>;
  repeats: { compared: number; repeats: number; share: number };
  /** Share of small values at even and at odd places of `.bin`, counted in ids. They differ when an id is really half of one. */
  smallShares: { even: number; odd: number };
}

/** Gathers statistics over pieces in the order of `readPieces`. */
export function createIdStatistics(dtype: TokenDtype, width: number) {
  const counts = new Float64Array(COUNTED_IDS);
  const lastIds = new Map<number, number>();
  const repeats = createRepeatCounter();
  const small = { even: 0, odd: 0 };
  const places = { even: 0, odd: 0 };
  let [tokens, negative, ignoredLabels, beyondCounts, beyondAll, documentEnds] = [0, 0, 0, 0, 0, 0];
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let isWhole = false; // of the document that is being read, so far
  let nextPosition = -1;

  let minPlace: IdPlace | undefined;
  let maxPlace: IdPlace | undefined;

  const notePlaces = (piece: Piece, before: { min: number; max: number }) => {
    const placeOf = (id: number) => ({
      document: piece.document,
      sequence: piece.sequence,
      byteOffset: piece.byteOffset + piece.ids.indexOf(id) * width,
    });
    if (min < before.min) minPlace = placeOf(min);
    if (max > before.max) maxPlace = placeOf(max);
  };
  const countIds = (ids: Int32Array) => {
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      if (id < min) min = id;
      if (id > max) max = id;
      if (id >= 0 && id < COUNTED_IDS) counts[id] = (counts[id] as number) + 1;
      else if (id < 0) {
        negative++;
        if (id === -100) ignoredLabels++;
      } else {
        beyondCounts++;
        if (id >= LARGEST_VOCABULARY) beyondAll++;
      }
    }
  };
  const countPlaces = (ids: Int32Array, place: number) => {
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      const parity = (place + i) % 2 === 0 ? 'even' : 'odd';
      places[parity]++;
      if (isUpperHalf(id, dtype)) small[parity]++;
    }
  };
  return {
    add(piece: Piece): void {
      const { ids } = piece;
      tokens += ids.length;
      const before = { min, max };
      countIds(ids);
      notePlaces(piece, before);
      if (dtype === 'uint16' || dtype === 'int32') countPlaces(ids, piece.byteOffset / width);
      if (piece.startsDocument || piece.position !== nextPosition) {
        repeats.end(false); // what a stretch has cut off
        isWhole = piece.startsDocument;
      }
      nextPosition = piece.position + ids.length;
      repeats.add(ids);
      if (!piece.endsDocument) return;
      repeats.end(isWhole);
      documentEnds++;
      const last = ids[ids.length - 1] as number;
      if (lastIds.size < MOST_LAST_IDS || lastIds.has(last)) lastIds.set(last, (lastIds.get(last) ?? 0) + 1);
    },
    result(): IdStatistics {
      return {
        tokens,
        min: tokens === 0 ? undefined : min,
        max: tokens === 0 ? undefined : max,
        minPlace,
        maxPlace,
        counts,
        ...summarize(counts, tokens),
        negative,
        ignoredLabels,
        beyondCounts,
        beyondAll,
        documentEnds,
        lastIds,
        repeats: repeats.result(),
        smallShares: { even: small.even / Math.max(1, places.even), odd: small.odd / Math.max(1, places.odd) },
      };
    },
  };
}

/** True for what the upper half of a wider id can be: of an int32 id below 2^18 in 16 bits, of any int64 id in 32 bits. */
function isUpperHalf(id: number, dtype: TokenDtype): boolean {
  return dtype === 'uint16' ? id < 4 : id === 0 || id === -1;
}

/** Borders of the bands that ids are summed up in: bytes, then the ends of well-known vocabularies. */
const BAND_ENDS = [256, 32_000, 50_257, 65_536, 100_000, 128_256, 151_643, 152_064, COUNTED_IDS];

/** Share of the ids in each band, those outside all of them left out. */
export function bandShares({ counts, tokens }: IdStatistics): { from: number; to: number; share: number }[] {
  return BAND_ENDS.map((to, i) => {
    const from = BAND_ENDS[i - 1] ?? 0;
    return { from, to, share: tokens === 0 ? 0 : sumCounts(counts, from, to) / tokens };
  }).filter(({ share }) => share > 0);
}

function summarize(
  counts: Float64Array,
  tokens: number,
): Pick<IdStatistics, 'distinct' | 'mostFrequent' | 'effective'> {
  let distinct = 0;
  let pairs = 0;
  const mostFrequent = { id: -1, count: 0 };
  for (let id = 0; id < counts.length; id++) {
    const count = counts[id] as number;
    if (count === 0) continue;
    distinct++;
    pairs += count * (count - 1);
    if (count > mostFrequent.count) Object.assign(mostFrequent, { id, count });
  }
  const possible = tokens * (tokens - 1);
  return { distinct, mostFrequent, effective: pairs === 0 ? possible : possible / pairs };
}

/** Sum of the counts of ids from `from` up to, not including, `to`. */
export function sumCounts(counts: Float64Array, from: number, to: number = counts.length): number {
  let sum = 0;
  for (let id = from; id < to; id++) sum += counts[id] as number;
  return sum;
}

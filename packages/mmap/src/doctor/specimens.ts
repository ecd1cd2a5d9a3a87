import { fraction, type Piece } from './walk.ts';

/** Neighbouring ids of one sequence, kept to be looked at as text. */
export interface Specimen {
  document: number;
  ids: Int32Array;
  startsSequence: boolean;
  endsSequence: boolean;
}

const SPECIMENS = 64;
const SPECIMEN_IDS = 2048;
const CANDIDATE_EVERY = 1 << 14;

/** Keeps 64 of all pieces that pass, each with the same chance and the same ones every time; long pieces are several candidates. */
export function createSpecimens(limit = SPECIMENS) {
  const kept: Specimen[] = [];
  let candidates = 0;
  return {
    add({ ids, document, startsSequence, endsSequence }: Piece): void {
      for (let from = 0; from < ids.length; from += CANDIDATE_EVERY) {
        const number = candidates++;
        const place = number < limit ? number : Math.floor(fraction(number) * candidates);
        if (place >= limit) continue;
        const to = Math.min(ids.length, from + SPECIMEN_IDS);
        kept[place] = {
          document,
          ids: ids.slice(from, to),
          startsSequence: startsSequence && from === 0,
          endsSequence: endsSequence && to === ids.length,
        };
      }
    },
    /** In the order of the dataset. */
    result: (): Specimen[] => [...kept].sort((a, b) => a.document - b.document),
  };
}

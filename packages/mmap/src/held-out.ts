import { createHash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';

/** The seed of every held-out choice; it is noted in the sidecar. */
export const HELD_OUT_SEED = 1234;

/**
 * Says of each document, asked in order from 0 on, whether it is held out: one of each run of 1/share neighbours, drawn by sha256
 * of seed and run. So every source gives its share whatever the order of files, a period in the data meets no period here,
 * and the same inputs give the same parts on every machine.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a share outside (0, 0.5].
 */
export function createHeldOutChoice(share: number, seed: number = HELD_OUT_SEED): (document: number) => boolean {
  if (!(share > 0 && share <= 0.5)) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `held-out share ${share} is not above 0 and at most 0.5; 0.05 holds out every twentieth document`,
      {
        field: 'heldOut',
      },
    );
  }
  let run = -1;
  let end = 0;
  let chosen = -1;
  return (document) => {
    if (document >= end) {
      run++;
      const first = Math.floor(run / share);
      end = Math.floor((run + 1) / share);
      const drawn = createHash('sha256').update(`${seed}:${run}`).digest().readUInt32BE(0);
      chosen = first + (drawn % (end - first));
    }
    return document === chosen;
  };
}

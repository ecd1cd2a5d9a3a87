import { InvalidInputError } from '@pai-cpt/core';

/** The refusal of a caller who does not wait for the one that holds the intent. */
export function inFlight(intentId: string, holder: string): InvalidInputError {
  return new InvalidInputError(
    'CPT_INPUT_SUBMIT_IN_FLIGHT',
    `submission ${intentId} is being worked on by ${holder}; wait for it, or end that process and submit again with the same key`,
    { intentId, holder },
  );
}

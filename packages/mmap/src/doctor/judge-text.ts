import type { Sidecar } from '../sidecar.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type Finding, percent } from './finding.ts';
import type { RoundTrip } from './round-trip.ts';

/** A dataset of the tokenizer gives all ids back; one of another about nine in ten. */
const LEAST_REPRODUCED = 0.99;
const LEAST_VALID = 0.999;
const ENOUGH_WORDS = 200;
/** Shares of the words. English has 11 %, Chinese 15 %; the wrong one of Qwen and Llama-3 gives 0.5 to 2 %, or joins. */
const SURELY_FREQUENT = 0.05;
const LEAST_FREQUENT = 0.02;
const MOST_JOINED = 0.05;

/** What decoding says about a tokenizer and a dataset: fingerprint, round trip, valid text, likeness to language. */
export function judgeText(trip: RoundTrip, tokenizer: Tokenizer, sidecar: Sidecar | undefined): Finding[] {
  const comesBack = trip.tokens - trip.reproduced <= Math.max(2, (1 - LEAST_REPRODUCED) * trip.tokens);
  const findings = [judgeRoundTrip(trip, comesBack)];
  if (sidecar) findings.push(judgeFingerprint(tokenizer, sidecar, comesBack && trip.tokens > 0));
  findings.push(judgeValidity(trip, comesBack));
  findings.push(describeLanguage(trip, comesBack));
  return findings;
}

function judgeRoundTrip(trip: RoundTrip, comesBack: boolean): Finding {
  const share = trip.tokens === 0 ? 1 : trip.reproduced / trip.tokens;
  const numbers = { tokens: trip.tokens, reproduced: trip.reproduced, share };
  const what = `decoded and encoded again by the tokenizer given, ${percent(share)} of ${trip.tokens} ids come back`;
  if (comesBack) return { code: 'round-trip', level: 'info', message: what, numbers };
  return {
    code: 'round-trip',
    level: 'error',
    message: `${what}; a dataset of this tokenizer gives at least ${percent(LEAST_REPRODUCED)}`,
    advice: 'the data was made with another tokenizer, or its ids are damaged; tokenise the text again',
    numbers,
  };
}

/** Files of one vocabulary differ in their added tokens or their layout; so unequal files alone are no proof. */
function judgeFingerprint(tokenizer: Tokenizer, { tokenizer: noted }: Sidecar, comesBack: boolean): Finding {
  const is = `${tokenizer.fingerprint.slice(0, 12)}…`;
  if (noted.fingerprint === tokenizer.fingerprint) {
    return { code: 'fingerprint', level: 'info', message: `the dataset was built with this tokenizer (sha256 ${is})` };
  }
  return {
    code: 'fingerprint',
    level: comesBack ? 'warn' : 'error',
    message: `the tokenizer given has sha256 ${is}, the dataset was built with ${noted.file} of sha256 ${noted.fingerprint.slice(0, 12)}…${comesBack ? '; the ids read were equal in both' : ''}`,
    advice: 'give the tokenizer that the dataset was built with, or build it with this one',
    numbers: { vocabSize: tokenizer.vocabSize, vocabSizeNoted: noted.vocabSize },
  };
}

function judgeValidity({ replacements, characters }: RoundTrip, comesBack: boolean): Finding {
  const replaced = replacements / Math.max(1, characters);
  const numbers = { replacements, characters, validShare: 1 - replaced };
  if (1 - replaced >= LEAST_VALID || replacements <= 2) {
    const message = `${percent(1 - replaced)} of ${characters} decoded characters are valid UTF-8`;
    return { code: 'valid-text', level: 'info', message, numbers };
  }
  const own = comesBack ? '; the ids come back, so the text itself held them' : '';
  return {
    code: 'invalid-text',
    level: comesBack ? 'warn' : 'error',
    message: `${percent(replaced)} of the decoded characters are U+FFFD, bytes that are no character${own}`,
    advice: comesBack ? 'clean the text before building' : 'the ids are not of this tokenizer; tokenise the text again',
    numbers,
  };
}

/** Whether the text reads like English or Chinese. Text of ids that come back always is text; the others may only look like it. */
function describeLanguage({ words, frequentWords, joins }: RoundTrip, comesBack: boolean): Finding {
  const share = frequentWords / Math.max(1, words);
  const joined = joins / Math.max(1, words);
  const numbers = { words, frequentWords, share, joins };
  const found = `${percent(share)} of ${words} words are among the most frequent of English and Chinese, ${percent(joined)} run into another script`;
  const say = (verdict: string, level: Finding['level'] = 'info'): Finding => ({
    code: 'language',
    level,
    message: `${verdict}: ${found}`,
    numbers,
  });
  if (words < ENOUGH_WORDS) return say('too few words to judge');
  if (!comesBack && (share < LEAST_FREQUENT || joined > MOST_JOINED)) return say('does not read like language', 'warn');
  return say(share >= SURELY_FREQUENT ? 'reads like language' : 'may be code or another language');
}

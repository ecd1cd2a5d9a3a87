import type { AddedTokenPolicy } from '../tokenizer/byte-level-bpe.ts';
import { readTokenizer } from '../tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type EngineSource, prepareEngine } from './text-engine.ts';

/** What a build says of its tokenizer. */
export type TokenizerFacts = Pick<Tokenizer, 'file' | 'fingerprint' | 'vocabSize' | 'eodToken' | 'eosToken'>;

/** Loads a tokenizer: what is to be known of it, and what encoders are made from. */
export async function loadForBuild(
  path: string,
  specials: AddedTokenPolicy,
): Promise<{ facts: TokenizerFacts; source: EngineSource }> {
  const { tokenizer, model, bytes } = await readTokenizer(path);
  const { file, fingerprint, vocabSize, eodToken, eosToken } = tokenizer;
  const source = prepareEngine(model, bytes, file, specials);
  return { facts: { file, fingerprint, vocabSize, eodToken, eosToken }, source };
}

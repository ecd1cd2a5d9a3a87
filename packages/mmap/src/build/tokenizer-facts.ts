import type { AddedTokenPolicy } from '../tokenizer/byte-level-bpe.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { readTokenizerJson } from './node.ts';
import { type EngineSource, prepareEngine } from './text-engine.ts';

/** What a build keeps of its tokenizer. The tables stay with the encoders: in memory, they are half a million objects to look after. */
export type TokenizerFacts = Pick<Tokenizer, 'file' | 'fingerprint' | 'vocabSize' | 'eodToken' | 'eosToken'>;

export async function readFacts(path: string): Promise<TokenizerFacts> {
  const { file, fingerprint, vocabSize, eodToken, eosToken } = await loadTokenizer(path);
  return { file, fingerprint, vocabSize, eodToken, eosToken };
}

/** What encoders are made from, of the file that the facts are of. */
export async function readEngine(
  { file, fingerprint }: TokenizerFacts,
  specials: AddedTokenPolicy,
): Promise<EngineSource> {
  return prepareEngine(await readTokenizerJson(file, fingerprint), file, specials);
}

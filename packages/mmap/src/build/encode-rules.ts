import type { TokenDtype } from '../token-dtype.ts';
import type { AddedTokenPolicy } from '../tokenizer/byte-level-bpe.ts';

/** What becomes of a record that cannot be a document: the build ends, or goes on without it. */
export type BadPolicy = 'fail' | 'skip';

/** Everything besides the bytes that decides what a batch becomes. Plain data: it goes to worker threads. */
export interface EncodeRules {
  textKey: string;
  /** Id that ends each document. */
  eodToken: number | undefined;
  dtype: TokenDtype;
  /** What becomes of a text that spells an added token. */
  specials: AddedTokenPolicy;
  /** Keep documents without ids, as Megatron's script does. */
  keepEmpty: boolean;
  onBad: BadPolicy;
  /** `replace` puts U+FFFD where bytes are not UTF-8. */
  onInvalidUtf8: BadPolicy | 'replace';
  /** Ids of the longest document, its end included; a longer one is split. */
  maxDocTokens: number;
}

/** What the index can say of one sequence: lengths are stored in 32 bits. */
export const MAX_SEQUENCE_TOKENS = 2 ** 31 - 1;

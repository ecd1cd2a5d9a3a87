import { FormatError } from '@pai-cpt/core';

/** What an encoder must offer to stand behind a `Tokenizer`. */
export interface TokenizerEngine {
  readonly vocabSize: number;
  tokenToId(token: string): number | undefined;
  encode(text: string): Promise<Int32Array>;
  decode(ids: ArrayLike<number>): Promise<string>;
}

/**
 * Hugging Face's own encoder, the Rust one that Megatron uses through Python. The package is loaded here and not at import, so that
 * whoever only reads datasets never loads its native library.
 * @throws FormatError `CPT_FORMAT_TOKENIZER`.
 */
export async function createRustEngine(tokenizerJson: Uint8Array, file: string): Promise<TokenizerEngine> {
  const { Tokenizer } = await import('tokenizers');
  let tokenizer: InstanceType<typeof Tokenizer>;
  try {
    tokenizer = Tokenizer.fromString(Buffer.from(tokenizerJson).toString('utf8'));
  } catch (cause) {
    throw new FormatError(
      'CPT_FORMAT_TOKENIZER',
      `${file}: not a tokenizer.json (${(cause as Error).message}); copy it again`,
      { file },
      { cause },
    );
  }
  // A file may carry the limits of its last use; cut or padded ids would be silent damage.
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  return {
    vocabSize: tokenizer.getVocabSize(true),
    tokenToId: (token) => tokenizer.tokenToId(token) ?? undefined,
    async encode(text) {
      const encoding = await tokenizer.encode(text, null, { addSpecialTokens: false });
      return new Int32Array(encoding.getIds());
    },
    decode: (ids) => tokenizer.decode(Array.from(ids), false),
  };
}

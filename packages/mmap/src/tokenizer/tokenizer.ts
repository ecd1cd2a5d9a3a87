/** Text to ids and back, whatever engine does it. */
export interface Tokenizer {
  /** Entries including added tokens: `len(tokenizer)` in Python. */
  readonly vocabSize: number;
  /** The id that ends a document: `<|endoftext|>`, else the `eos_token` of tokenizer_config.json. */
  readonly eodToken: number | undefined;
  /** The `eos_token` of tokenizer_config.json. Chat models name `<|im_end|>` there, which ends a turn and not a document. */
  readonly eosToken: number | undefined;
  /** sha256 of tokenizer.json, hexadecimal: equal fingerprints mean equal ids. */
  readonly fingerprint: string;
  /** Path of the tokenizer.json. */
  readonly file: string;
  /** The ids of a text, without template tokens at its ends. The spelling of an added token in the text becomes that token. */
  encode(text: string): Promise<Int32Array>;
  /** The text of ids, added tokens spelled out. Ids that cut a character give U+FFFD. */
  decode(ids: ArrayLike<number>): Promise<string>;
}

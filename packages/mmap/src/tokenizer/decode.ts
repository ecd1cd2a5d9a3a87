import type { BpeModel } from './bpe-model.ts';

/** Ids to text. */
export interface TokenDecoder {
  /** The whole text; bytes that are no character become U+FFFD. */
  decode(ids: ArrayLike<number>): string;
  /**
   * Text as ids come: what a token leaves of an unfinished character waits for the next. Call `end` after the last id for what is
   * still waiting.
   */
  stream(): { push(id: number): string; end(): string };
}

/** A decoder for a model's tokens, added tokens spelled out. An id that is no token gives nothing, as in the reference. */
export function createTokenDecoder(model: BpeModel): TokenDecoder {
  const utf8 = new TextEncoder();
  const added = new Map(model.addedTokens.map((token) => [token.id, utf8.encode(token.content)]));
  const bytesOf = (id: number): Uint8Array => added.get(id) ?? model.tokens.bytesOf(id) ?? NOTHING;
  return {
    decode(ids) {
      const parts = Array.from(ids, bytesOf);
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(parts));
    },
    stream() {
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      return {
        push: (id) => decoder.decode(bytesOf(id), { stream: true }),
        end: () => decoder.decode(),
      };
    },
  };
}

const NOTHING = new Uint8Array(0);

import type { BpeModel } from './bpe-model.ts';
import {
  type AddedTokenPolicy,
  type BpeEncoder,
  type CompiledBpe,
  compileBpe,
  createBpeEncoder,
} from './byte-level-bpe.ts';
import { createTokenDecoder } from './decode.ts';
import type { TokenizerEngine } from './rust-engine.ts';

/** Scratch of a new encoder; it grows when a document needs more. */
const FIRST_CAPACITY = 1 << 20;

/** Our own byte-level BPE as an engine for strings. */
export function createTypescriptEngine(model: BpeModel, policy: AddedTokenPolicy = 'encode'): TokenizerEngine {
  let compiled: CompiledBpe | undefined; // made when something is encoded: who only decodes need not wait for it
  const decoder = createTokenDecoder(model);
  const added = new Map(model.addedTokens.map((token) => [token.content, token.id]));
  const utf8 = new TextEncoder();
  let encoder: BpeEncoder | undefined;

  function encode(text: string): Int32Array {
    const atMost = text.length * 3;
    const needed = atMost <= FIRST_CAPACITY ? atMost : Buffer.byteLength(text);
    for (let capacity = Math.max(FIRST_CAPACITY, needed); ; capacity *= 4) {
      compiled ??= compileBpe(model);
      if (!encoder || encoder.capacity < capacity) encoder = createBpeEncoder(compiled, policy, capacity);
      const { written } = utf8.encodeInto(text, encoder.text);
      const count = encoder.encode(written);
      if (count >= 0) return encoder.ids.slice(0, count);
    }
  }

  const { tokens, addedTokens } = model;
  return {
    vocabSize: tokens.count + addedTokens.filter((token) => !tokens.bytesOf(token.id)).length,
    tokenToId(token) {
      const bytes = utf8.encode(token);
      const id = added.get(token) ?? tokens.idOf(bytes, 0, bytes.length);
      return id < 0 ? undefined : id;
    },
    encode: async (text) => encode(text),
    decode: async (ids) => decoder.decode(ids),
  };
}

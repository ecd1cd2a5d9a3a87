import type { BpeModel } from './bpe-model.ts';
import { type AddedTokenPolicy, type BpeEncoder, compileBpe, createBpeEncoder } from './byte-level-bpe.ts';
import { createTokenDecoder } from './decode.ts';
import type { TokenizerEngine } from './rust-engine.ts';

/** Scratch of a new encoder; it grows when a document needs more. */
const FIRST_CAPACITY = 1 << 20;

/** Our own byte-level BPE as an engine for strings. */
export function createTypescriptEngine(model: BpeModel, policy: AddedTokenPolicy = 'encode'): TokenizerEngine {
  const compiled = compileBpe(model);
  const decoder = createTokenDecoder(model);
  const added = new Map(model.addedTokens.map((token) => [token.content, token.id]));
  const utf8 = new TextEncoder();
  let encoder: BpeEncoder | undefined;

  function encode(text: string): Int32Array {
    const atMost = text.length * 3;
    const needed = atMost <= FIRST_CAPACITY ? atMost : Buffer.byteLength(text);
    for (let capacity = Math.max(FIRST_CAPACITY, needed); ; capacity *= 4) {
      if (!encoder || encoder.capacity < capacity) encoder = createBpeEncoder(compiled, policy, capacity);
      const { written } = utf8.encodeInto(text, encoder.text);
      const count = encoder.encode(written);
      if (count >= 0) return encoder.ids.slice(0, count);
    }
  }

  const baseTokens = model.tokens.filter((token) => token !== undefined).length;
  return {
    vocabSize: baseTokens + model.addedTokens.filter((token) => model.tokens[token.id] === undefined).length,
    tokenToId: (token) => added.get(token) ?? idOfBytes(model, utf8.encode(token)),
    encode: async (text) => encode(text),
    decode: async (ids) => decoder.decode(ids),
  };
}

function idOfBytes(model: BpeModel, bytes: Uint8Array): number | undefined {
  const id = model.tokens.findIndex((token) => token !== undefined && Buffer.compare(token, bytes) === 0);
  return id < 0 ? undefined : id;
}

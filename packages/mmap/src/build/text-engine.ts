import { UnsupportedError } from '@pai-cpt/core';
import type { parseBpeModel } from '../tokenizer/bpe-model.ts';
import {
  type AddedTokenPolicy,
  type BpeEncoder,
  type CompiledBpe,
  compileBpe,
  createBpeEncoder,
} from '../tokenizer/byte-level-bpe.ts';
import { createRustEngine } from '../tokenizer/rust-engine.ts';

/** Encodes one text after another: put UTF-8 into `text`, call `encode`, read `ids`. */
export interface TextEngine {
  /** Replaced by `reserve`. */
  readonly text: Uint8Array;
  /** Replaced by `reserve` and `encode`. */
  readonly ids: Int32Array;
  /** Makes room for a text of `bytes`; what `text` held is lost. */
  reserve(bytes: number): void;
  /** The number of ids of `text[0, byteLength)`; the text must be valid UTF-8. A promise only where the encoder has no other way. */
  encode(byteLength: number): number | Promise<number>;
  /** How often the last text spelt an added token. */
  addedTokenCount(): number;
}

/** Loads beyond a text's end are allowed up to this many bytes. */
const SLACK = 64;
/** Texts up to this size go through one encoder. Only what texts touch of its memory is ever real. */
const ORDINARY_BYTES = 2 ** 23;

/** What an engine is made from. Plain data and shared memory: made once, it goes to every thread. */
export type EngineSource = { compiled: CompiledBpe } | { tokenizerJson: Uint8Array; file: string };

/**
 * The source of engines for a `tokenizer.json`: tables for our own encoder where it covers the model exactly, the file itself for the
 * reference where it does not.
 * @throws UnsupportedError `CPT_UNSUPPORTED_SPECIALS` when the reference is needed and added tokens are to be plain text.
 */
export function prepareEngine(
  model: ReturnType<typeof parseBpeModel>,
  tokenizerJson: Uint8Array,
  file: string,
  specials: AddedTokenPolicy,
): EngineSource {
  if (!('unsupported' in model)) return { compiled: compileBpe(model) };
  if (specials !== 'text') return { tokenizerJson, file };
  throw new UnsupportedError(
    'CPT_UNSUPPORTED_SPECIALS',
    `${file}: this kind of tokenizer (${model.unsupported}) always takes the spelling of an added token for the token; use --specials encode or error`,
    { file, feature: 'specials text' },
  );
}

/** `ordinaryBytes`: texts up to this size need no room of their own; small in tests. */
export async function createTextEngine(
  source: EngineSource,
  specials: AddedTokenPolicy,
  ordinaryBytes: number = ORDINARY_BYTES,
): Promise<TextEngine> {
  if (!('compiled' in source)) return createReferenceEngine(source.tokenizerJson, source.file, ordinaryBytes);
  return createBpeEngine((capacity) => createBpeEncoder(source.compiled, specials, capacity), ordinaryBytes);
}

/** Keeps one encoder of ordinary size, and a larger one for as long as large texts come. */
function createBpeEngine(createEncoder: (capacity: number) => BpeEncoder, ordinaryBytes: number): TextEngine {
  const ordinary = createEncoder(ordinaryBytes);
  let current = ordinary;
  const choose = (bytes: number) => {
    if (bytes <= ordinary.capacity) current = ordinary;
    else if (current.capacity < bytes || current.capacity > 16 * bytes) current = createEncoder(bytes);
  };
  return {
    get text() {
      return current.text;
    },
    get ids() {
      return current.ids;
    },
    reserve: choose,
    encode(byteLength) {
      const count = current.encode(byteLength);
      if (count >= 0) return count;
      // Normalising needs a second copy of the text, which may be three times as long.
      const text = current.text.slice(0, byteLength);
      choose(4 * byteLength + ordinaryBytes);
      current.text.set(text);
      return current.encode(byteLength);
    },
    addedTokenCount: () => current.addedTokenCount(),
  };
}

async function createReferenceEngine(
  tokenizerJson: Uint8Array,
  file: string,
  ordinaryBytes: number,
): Promise<TextEngine> {
  const engine = await createRustEngine(tokenizerJson, file);
  const json = JSON.parse(Buffer.from(tokenizerJson).toString('utf8')) as { added_tokens?: { id: number }[] };
  const added = new Set((json.added_tokens ?? []).map((token) => token.id));
  let text = new Uint8Array(ordinaryBytes + SLACK);
  let ids: Int32Array = new Int32Array(0);
  return {
    get text() {
      return text;
    },
    get ids() {
      return ids;
    },
    reserve(bytes) {
      if (text.byteLength < bytes + SLACK) text = new Uint8Array(bytes + SLACK);
    },
    async encode(byteLength) {
      ids = await engine.encode(Buffer.from(text.buffer, 0, byteLength).toString('utf8'));
      return ids.length;
    },
    addedTokenCount: () => ids.reduce((count, id) => count + (added.has(id) ? 1 : 0), 0),
  };
}

import { createJsonTextReader, NEEDS_PARSE, type ReadJsonText } from '../documents/json-text.ts';
import { RANGE_BYTES } from './range/line-range.ts';
import type { TextEngine } from './text-engine.ts';

/** Loads beyond the end of a batch are allowed up to this many bytes. */
const SLACK = 64;
/** A range and nearly every last line of one. Only what batches touch of it is ever real. */
const CAPACITY = RANGE_BYTES + 2 ** 22;

/** Takes texts out of JSON in bytes, straight to where the engine reads them. */
export interface JsonLines {
  /** The batch that positions are in from now on. */
  load(bytes: Uint8Array): void;
  /** Bytes of the text of the object in `[start, end)`, now in `engine.text`; `NEEDS_PARSE` when it is not a plain one. */
  read(start: number, end: number): number;
}

export { NEEDS_PARSE };

/** `input` is fixed for batches of ordinary size: code that is bound to one buffer runs faster. */
export function createJsonLines(engine: TextEngine, textKey: string): JsonLines {
  const ordinary = new Uint8Array(CAPACITY + SLACK);
  let input = ordinary;
  let output: Uint8Array | undefined;
  let readText: ReadJsonText = () => NEEDS_PARSE;
  return {
    load(bytes) {
      const isOrdinary = bytes.byteLength <= CAPACITY;
      if (isOrdinary !== (input === ordinary)) output = undefined;
      input = isOrdinary ? ordinary : new Uint8Array(bytes.byteLength + SLACK);
      if (!isOrdinary) output = undefined;
      input.set(bytes);
      input.fill(0, bytes.byteLength, bytes.byteLength + SLACK);
    },
    read(start, end) {
      engine.reserve(end - start);
      if (engine.text !== output) {
        output = engine.text;
        readText = createJsonTextReader(input, output, textKey);
      }
      return readText(start, end);
    },
  };
}

import { FormatError, InvalidInputError } from '@pai-cpt/core';
import { oversizedError } from '../documents/decode-documents.ts';
import { listInputs } from '../documents/inputs.ts';
import { openInput } from '../documents/open-input.ts';
import { RECORD_NUMBERS } from '../documents/records.ts';
import { decodeUtf8 } from '../documents/utf8.ts';
import { type PlacedBatch, placeBatches } from '../screen/places.ts';

/** One JSON value of an evaluation file. */
export interface Evaluation {
  /** `file:line`. */
  id: string;
  /** Every string in it, however deep in objects and lists. */
  texts: string[];
}

/**
 * The evaluation documents of JSONL files and JSON arrays, packed or not, and folders of them.
 * @throws FormatError `CPT_FORMAT_JSON_LINE` or `CPT_FORMAT_UTF8` with file:line:byte.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a file of another kind.
 */
export async function* readEvaluations(paths: readonly string[], signal?: AbortSignal): AsyncGenerator<Evaluation> {
  for (const file of await listInputs(paths)) {
    if (file.format !== 'jsonl' && file.format !== 'json') {
      throw new InvalidInputError(
        'CPT_INPUT_INVALID',
        `${file.path}: an evaluation file holds JSON, one object a line`,
        {
          file: file.path,
        },
      );
    }
    const input = await openInput(file, { textKey: '', splitParagraphs: false, ...(signal && { signal }) });
    try {
      for await (const { piece, placed, linesBefore } of placeBatches(input.pieces)) {
        if (placed) yield* evaluationsOf(placed, file.path);
        else if (piece.kind === 'oversized') throw oversizedError(piece, file.path, linesBefore);
      }
    } finally {
      await input.close();
    }
  }
}

function* evaluationsOf({ batch, linesBefore, records }: PlacedBatch, file: string): Generator<Evaluation> {
  for (let at = 0; at < records.length; at += RECORD_NUMBERS) {
    const [start, end, lines] = records.slice(at, at + RECORD_NUMBERS) as [number, number, number];
    const line = linesBefore + lines + 1;
    const byteOffset = batch.byteOffset + start;
    const text = decodeUtf8(batch.bytes.subarray(start, end), file, byteOffset, line);
    yield { id: `${file}:${line}`, texts: [...stringsIn(parse(text, file, line, byteOffset))] };
  }
}

function parse(text: string, file: string, line: number, byteOffset: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError(
      'CPT_FORMAT_JSON_LINE',
      `${file}:${line}:${byteOffset}: not valid JSON (${(cause as Error).message}); an evaluation file holds one object a line`,
      { file, line, byteOffset },
      { cause },
    );
  }
}

function* stringsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null)
    for (const entry of Object.values(value)) yield* stringsIn(entry);
}

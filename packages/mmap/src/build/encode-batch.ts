import { isUtf8 } from 'node:buffer';
import type { BadReason, BadRecord } from '../documents/bad-record.ts';
import { type Batch, countLines } from '../documents/batch.ts';
import { isBlank, textOf } from '../documents/blank.ts';
import { badUtf8, missingCell, rowsOf } from '../documents/decode-documents.ts';
import { textsOfJson } from '../documents/json-record.ts';
import { RECORD_NUMBERS, recordsOf } from '../documents/records.ts';
import type { EncodeRules } from './encode-rules.ts';
import { createIdCollector, type EncodedDocuments } from './id-collector.ts';
import { createJsonLines, NEEDS_PARSE } from './json-lines.ts';
import type { TextEngine } from './text-engine.ts';

/** What a batch became. Plain data: it comes back from worker threads. */
export interface EncodedBatch extends EncodedDocuments {
  /** Lines, or rows, that the batch takes up in its file. */
  lines: number;
  /** Documents without text, left out. */
  empty: number;
  /** Records that are no documents; in the policy `fail` the first of them, and nothing behind it was looked at. */
  bad: BadRecord[];
  /** Documents of too many tokens, which became several. */
  split: number;
  /** Documents in which wrong bytes were replaced. */
  replaced: number;
  /** How often added tokens were spelt in texts, and in how many documents. */
  addedTokens: number;
  addedTokenDocuments: number;
}

/** Encodes one batch; one at a time. `room` is memory for the ids. */
export type EncodeBatch = (batch: Batch, room?: SharedArrayBuffer) => Promise<EncodedBatch>;

interface Place {
  start: number;
  end: number;
  line: number;
}

/**
 * An encoder of batches. It takes no step that the reference would not take: texts become the ids of their sequences, sequences
 * without ids are left out, the end-of-document id joins the last one.
 */
export function createBatchEncoder(engine: TextEngine, rules: EncodeRules): EncodeBatch {
  const jsonLines = createJsonLines(engine, rules.textKey);
  const collector = createIdCollector(rules.dtype, rules.maxDocTokens);
  const utf8 = new TextEncoder();

  return async function encodeBatch(batch, room) {
    const { bytes, perDocument } = batch;
    const isJson = batch.content === 'json';
    const isValid = isUtf8(bytes);
    const records = recordsOf(batch);
    const recordCount = records.length / RECORD_NUMBERS;
    const result: Omit<EncodedBatch, keyof EncodedDocuments> = {
      lines: batch.unit === 'row' ? rowsOf(batch) : countLines(bytes),
      empty: 0,
      bad: [],
      split: 0,
      replaced: 0,
      addedTokens: 0,
      addedTokenDocuments: 0,
    };
    /** Added tokens in the document at hand, and whether bytes of it were replaced. */
    let added = 0;
    let isReplaced = false;
    let isBlankSoFar = true;
    if (isJson && isValid) jsonLines.load(bytes);

    const documents = perDocument?.length ?? recordCount;
    let record = 0;
    for (let document = 0; document < documents; document++) {
      const end = record + (perDocument?.[document] ?? 1);
      added = 0;
      isReplaced = false;
      isBlankSoFar = true;
      let bad: BadRecord | undefined;
      for (; record < end && !bad; record++) {
        const at = RECORD_NUMBERS * record;
        const place = { start: records[at] as number, end: records[at + 1] as number, line: records[at + 2] as number };
        const wrong = isJson ? encodeJson(place) : encodeText(place);
        bad = wrong instanceof Promise ? await wrong : wrong;
      }
      record = end;
      if (!bad) bad = refuseDocument(records, end - 1);
      if (!bad) keep();
      else {
        collector.drop();
        result.bad.push(bad);
        const policy = bad.reason === 'utf8' ? rules.onInvalidUtf8 : rules.onBad;
        if (policy === 'fail') break;
      }
    }
    return { ...collector.take(room), ...result };

    function keep(): void {
      result.addedTokens += added;
      if (added > 0) result.addedTokenDocuments++;
      if (isReplaced) result.replaced++;
      if (isBlankSoFar && !rules.keepEmpty) collector.drop();
      const became = collector.endDocument(rules.eodToken, rules.keepEmpty);
      if (became === 0) result.empty++;
      if (became > 1) result.split++;
    }

    function encodeJson(place: Place): BadRecord | undefined | Promise<BadRecord | undefined> {
      const length = isValid ? jsonLines.read(place.start, place.end) : NEEDS_PARSE;
      if (length !== NEEDS_PARSE) return encodeLoaded(length);
      const part = bytes.subarray(place.start, place.end);
      if (!isValid && !isUtf8(part)) {
        if (rules.onInvalidUtf8 !== 'replace') return badUtf8(part, placeOf(place), 'json');
        isReplaced = true;
      }
      const json = textOf(bytes, place.start, place.end);
      const found = textsOfJson(json, rules.textKey, batch.isFirst && place.line === 0);
      if ('reason' in found) return { ...placeOf(place), ...found };
      return encodeAll(found.texts);
    }

    async function encodeAll(texts: string[]): Promise<undefined> {
      for (const text of texts) await encodeString(text);
    }

    function encodeString(text: string): undefined | Promise<undefined> {
      engine.reserve(Buffer.byteLength(text));
      return encodeLoaded(utf8.encodeInto(text, engine.text).written);
    }

    function encodeText(place: Place): BadRecord | undefined | Promise<BadRecord | undefined> {
      if (place.start < 0) return { ...placeOf(place), reason: 'text-missing', why: missingCell(rules.textKey) };
      const part = bytes.subarray(place.start, place.end);
      if (!isValid && !isUtf8(part)) {
        if (rules.onInvalidUtf8 !== 'replace')
          return badUtf8(part, placeOf(place), batch.unit === 'line' ? 'text' : 'json');
        isReplaced = true;
        return encodeString(textOf(bytes, place.start, place.end));
      }
      engine.reserve(part.byteLength);
      engine.text.set(part);
      return encodeLoaded(part.byteLength);
    }

    /** Encodes `engine.text[0, length)` as the next sequence. */
    function encodeLoaded(length: number): undefined | Promise<undefined> {
      if (isBlankSoFar) isBlankSoFar = isBlank(engine.text, 0, length);
      const count = engine.encode(length);
      return typeof count === 'number' ? collect(count) : count.then(collect);
    }

    function collect(count: number): undefined {
      added += engine.addedTokenCount();
      collector.add(engine.ids, count);
    }

    function refuseDocument(places: number[], last: number): BadRecord | undefined {
      if (rules.specials !== 'error' || added === 0) return undefined;
      const at = RECORD_NUMBERS * last;
      const why = `spells an added token (${added} in all); choose --specials encode to take it for the token, or text for its letters`;
      return { line: places[at + 2] as number, byteOffset: places[at] as number, reason: 'added-token', why };
    }
  };
}

const placeOf = ({ start, line }: Place): { line: number; byteOffset: number } => ({
  line,
  byteOffset: Math.max(start, 0),
});

export type { BadReason };

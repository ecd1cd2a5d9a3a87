import type { BadReason } from './bad-record.ts';

/** The texts of one document, or why there are none. */
export type RecordTexts = { texts: string[] } | { reason: BadReason; why: string };

/**
 * The texts under `textKey` of one JSON object: a string, or a list of strings, which become the sequences of one document.
 * `isFirstLine` and the line break at the end only choose the hint of a refusal.
 */
export function textsOfJson(record: string, textKey: string, isFirstLine: boolean): RecordTexts {
  let value: unknown;
  try {
    value = JSON.parse(record);
  } catch (cause) {
    const why = `not valid JSON (${(cause as Error).message.replaceAll(/\s+/g, ' ')}); it begins ${excerpt(record)}`;
    return { reason: 'json', why: `${why}; ${hintFor(record, isFirstLine)}` };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const why = `not a JSON object; it begins ${excerpt(record)}; ${hintFor(record, isFirstLine)}`;
    return { reason: 'json', why };
  }
  const object = value as Record<string, unknown>;
  const text = Object.hasOwn(object, textKey) ? object[textKey] : undefined;
  if (typeof text === 'string') return { texts: [text] };
  if (Array.isArray(text) && text.every((entry) => typeof entry === 'string')) return { texts: text };
  const found = text === undefined ? 'is missing' : 'is neither a string nor a list of strings';
  const keys = Object.keys(object)
    .slice(0, 8)
    .map((key) => JSON.stringify(key));
  const why = `${JSON.stringify(textKey)} ${found}; keys here: ${keys.join(', ') || 'none'}; name the right one with --text-key`;
  return { reason: 'text-missing', why };
}

function hintFor(record: string, isFirstLine: boolean): string {
  const start = record.trimStart();
  if (isFirstLine && start.startsWith('[')) {
    return 'a JSON array was given; write one object per line instead, or name the file .json';
  }
  if (isFirstLine && start.trimEnd() === '{')
    return 'an object over several lines was given; write one object per line instead';
  if (start.startsWith('\0')) return 'zero bytes are the tail of a file whose writer crashed; cut them off';
  if (!record.endsWith('\n')) return 'it is the last line and has no line break: the file may be cut off';
  return 'correct or remove the line';
}

function excerpt(record: string): string {
  return JSON.stringify(record.trimEnd().slice(0, 80));
}

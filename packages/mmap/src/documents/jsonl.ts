import { type ByteSource, FormatError } from '@pai-cpt/core';
import type { Document, SourceOptions } from './document.ts';
import { type Line, readLines } from './lines.ts';
import { decodeUtf8 } from './utf8.ts';

/**
 * The documents of a JSONL file, one object a line. `textKey` names a string, or a list of strings that become the sequences of
 * one document. Blank lines are left out.
 * @throws FormatError `CPT_FORMAT_JSON_LINE`, `CPT_FORMAT_TEXT_MISSING` or `CPT_FORMAT_UTF8`, each with file:line:byte.
 */
export async function* readJsonl(
  source: ByteSource,
  file: string,
  options: SourceOptions & { textKey: string },
): AsyncGenerator<Document> {
  for await (const line of readLines(source, file, options)) {
    const text = decodeUtf8(line.bytes, file, line.byteOffset, line.number);
    if (isBlank(text)) continue;
    const texts = textsOf(parseObject(text, file, line), options.textKey, file, line);
    yield { texts, byteOffset: line.byteOffset };
  }
}

/** JSON's own white space only: any other character on a line is an error to report, not to skip. */
function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text);
}

function parseObject(text: string, file: string, line: Line): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badLine(
      file,
      line,
      `not valid JSON (${(cause as Error).message}); it begins ${excerpt(text)}; ${hintFor(text, line)}`,
      cause,
    );
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw badLine(file, line, `not a JSON object; it begins ${excerpt(text)}; ${hintFor(text, line)}`);
}

function hintFor(text: string, line: Line): string {
  const start = text.trimStart();
  if (line.number === 1 && start.startsWith('[')) return 'a JSON array was given; write one object per line instead';
  if (line.number === 1 && start.trimEnd() === '{')
    return 'an object over several lines was given; write one object per line instead';
  if (start.startsWith('\0')) return 'zero bytes are the tail of a file whose writer crashed; cut them off';
  if (!text.endsWith('\n')) return 'it is the last line and has no line break: the file may be cut off';
  return 'correct or remove the line';
}

function textsOf(object: Record<string, unknown>, textKey: string, file: string, line: Line): string[] {
  const value = Object.hasOwn(object, textKey) ? object[textKey] : undefined;
  if (typeof value === 'string') return [value];
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value;
  const found = value === undefined ? 'is missing' : 'is neither a string nor a list of strings';
  const keys = Object.keys(object)
    .slice(0, 8)
    .map((key) => JSON.stringify(key));
  throw new FormatError(
    'CPT_FORMAT_TEXT_MISSING',
    `${file}:${line.number}:${line.byteOffset}: ${JSON.stringify(textKey)} ${found}; keys here: ${keys.join(', ') || 'none'}; name the right one with --text-key`,
    { file, line: line.number, byteOffset: line.byteOffset, field: textKey },
  );
}

function badLine(file: string, line: Line, why: string, cause?: unknown): FormatError {
  return new FormatError(
    'CPT_FORMAT_JSON_LINE',
    `${file}:${line.number}:${line.byteOffset}: ${why}`,
    { file, line: line.number, byteOffset: line.byteOffset },
    { cause },
  );
}

function excerpt(text: string): string {
  return JSON.stringify(text.trimEnd().slice(0, 80));
}

import { InvalidInputError } from '@pai-cpt/core';

/** A position in a list: the sort key of the last item that was given out. Callers pass it back unread. */
export type Cursor = readonly string[];

export function serializeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url');
}

/** @throws InvalidInputError `CPT_INPUT_INVALID` for anything that `serializeCursor` did not make with that many parts. */
export function parseCursor(text: string, parts: number): Cursor {
  try {
    const cursor: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (Array.isArray(cursor) && cursor.length === parts && cursor.every((part) => typeof part === 'string'))
      return cursor;
  } catch {
    // falls through: what is no JSON is no cursor either
  }
  const detail = 'is not a cursor of this list; take the one that the page before gave';
  throw new InvalidInputError('CPT_INPUT_INVALID', `after ${detail}`, {
    errors: [{ pointer: '/after', message: detail }],
  });
}

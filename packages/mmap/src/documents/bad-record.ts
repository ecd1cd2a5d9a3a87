import type { ErrorCode } from '@pai-cpt/core';

/** Why a record cannot become a document, by the words of `rejects.jsonl`. */
export const BAD_REASONS = {
  json: 'CPT_FORMAT_JSON_LINE',
  'text-missing': 'CPT_FORMAT_TEXT_MISSING',
  utf8: 'CPT_FORMAT_UTF8',
  'too-long': 'CPT_INPUT_LINE_TOO_LONG',
  'added-token': 'CPT_INPUT_ADDED_TOKEN',
} as const satisfies Record<string, ErrorCode>;

export type BadReason = keyof typeof BAD_REASONS;

/** A record that cannot become a document. */
export interface BadRecord {
  reason: BadReason;
  /** Lines, or rows, of its batch before it. */
  line: number;
  /** In the batch; for a row its number in the batch. */
  byteOffset: number;
  /** What was found and what to do, in one line. */
  why: string;
}

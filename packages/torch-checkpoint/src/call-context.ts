import type { ErrorCode } from '@pai-cpt/core';
import type { PickleValue } from './pickle-values.ts';

/** Makes the error that names the file, the opcode and its offset. */
export type Refuse = (code: ErrorCode, why: string) => Error;

/** What a known global may use while it builds. */
export interface CallContext {
  readonly refuse: Refuse;
  /** Counts memory before it is taken: without it, one list and a million `set(list)` would fill it. */
  spend(bytes: number): void;
}

/** What a known global makes of its arguments; undefined where they are not such as it takes, which leaves a record. */
export type Builder = (args: PickleValue[], context: CallContext) => PickleValue | undefined;

/** About what values take, so that a pickle of a few MB cannot become gigabytes. */
export const LIST_BYTES = 128;
export const DICT_BYTES = 256;
export const ENTRY_BYTES = 128;
export const RECORD_BYTES = 256;

import {
  CptError,
  type ErrorCode,
  type ErrorDetails,
  FormatError,
  InvalidInputError,
  UnsupportedError,
} from '@pai-cpt/core';
import type { EncodeRules } from './encode-rules.ts';
import type { EncodedWork, Work } from './encode-work.ts';
import type { SentMemory } from './shared-memory.ts';
import type { EngineSource } from './text-engine.ts';

/** What a thread is started with. */
export interface ThreadSetup {
  engine: EngineSource;
  rules: EncodeRules;
}

/** One batch to encode. */
export interface ThreadRequest {
  job: number;
  work: Work;
  /** Shared memory for the ids of the result. */
  room: SentMemory;
}

/** What a thread answers to a batch. An error travels as data; without a code it is a defect of ours. */
export interface ThreadReply {
  job: number;
  result?: Omit<EncodedWork, 'ids'>;
  /** Ids in the room; absent when they did not fit and come as `ids`. */
  idCount?: number;
  ids?: EncodedWork['ids'];
  error?: ThreadError;
}

export interface ThreadError {
  code?: ErrorCode;
  /** Code of an error of the system, such as `ENOSPC`. */
  system?: string;
  message: string;
  details?: ErrorDetails;
}

/** An error as data. */
export function toThreadError(error: unknown): ThreadError {
  if (CptError.isInstance(error)) return { code: error.code, message: error.message, details: error.details };
  if (!(error instanceof Error)) return { message: String(error) };
  const { code } = error as NodeJS.ErrnoException;
  return code ? { system: code, message: error.message } : { message: `${error.message}\n${error.stack}` };
}

/** The error that was sent as data. */
export function toError(error: ThreadError | undefined): Error {
  if (!error) return new Error('a thread sent neither a result nor an error');
  if (error.system) return Object.assign(new Error(error.message), { code: error.system });
  if (!error.code) return new Error(error.message);
  const classes: [string, typeof FormatError][] = [
    ['CPT_FORMAT_', FormatError],
    ['CPT_UNSUPPORTED_', UnsupportedError],
  ];
  const [, Class] = classes.find(([prefix]) => error.code?.startsWith(prefix)) ?? ['', InvalidInputError];
  return new Class(error.code, error.message, error.details);
}

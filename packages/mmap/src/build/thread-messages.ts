import { CptError, type ErrorCode, type ErrorDetails } from '@pai-cpt/core';
import type { Batch } from '../documents/batch.ts';
import type { EncodedBatch } from './encode-batch.ts';
import type { EncodeRules } from './encode-rules.ts';
import type { LoadedTokenizer } from './node.ts';
import type { EngineSource } from './text-engine.ts';

/** What a thread is started with. */
export interface ThreadSetup {
  engine: EngineSource;
  rules: EncodeRules;
}

/** One batch to encode. */
export interface ThreadRequest {
  job: number;
  batch: Batch;
  /** Shared memory for the ids of the result. */
  room: SharedArrayBuffer;
}

/** What a thread answers to a batch. An error travels as data; without a code it is a defect of ours. */
export interface ThreadReply {
  job: number;
  result?: EncodedBatch;
  error?: ThreadError;
}

export interface ThreadError {
  code?: ErrorCode;
  message: string;
  details?: ErrorDetails;
}

/** What the thread answers that loads a tokenizer. */
export interface LoaderReply {
  loaded?: LoadedTokenizer;
  error?: ThreadError;
}

/** An error as data. */
export function toThreadError(error: unknown): ThreadError {
  if (CptError.isInstance(error)) return { code: error.code, message: error.message, details: error.details };
  return { message: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) };
}

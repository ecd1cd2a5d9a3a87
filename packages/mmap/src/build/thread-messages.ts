import type { ErrorCode, ErrorDetails } from '@pai-cpt/core';
import type { EncodedBatch } from './encode-batch.ts';
import type { EncodeRules } from './encode-rules.ts';
import type { EngineSource } from './text-engine.ts';

/** What a thread is started with. */
export interface ThreadSetup {
  engine: EngineSource;
  rules: EncodeRules;
}

/** What a thread answers to a batch. An error travels as data; without a code it is a defect of ours. */
export interface ThreadReply {
  job: number;
  result?: EncodedBatch;
  error?: { code?: ErrorCode; message: string; details?: ErrorDetails };
}

import type { Batch } from '../documents/batch.ts';
import { createBatchEncoder, type EncodedBatch } from './encode-batch.ts';
import type { EncodeRules } from './encode-rules.ts';
import type { LineRange, RangeRead } from './range/line-range.ts';
import { createRangeReader } from './range/node.ts';
import type { TextEngine } from './text-engine.ts';

/** What an encoder is given: bytes, or where they lie. */
export type Work = Batch | LineRange;

export interface EncodedWork extends EncodedBatch {
  /** Of a range. */
  read?: RangeRead;
}

/** Encodes one batch or range; one at a time. */
export interface WorkEncoder {
  encode(work: Work, room?: SharedArrayBuffer): Promise<EncodedWork>;
  close(): void;
}

/** An encoder that also reads what it encodes, where that can be left to it. */
export function createWorkEncoder(engine: TextEngine, rules: EncodeRules): WorkEncoder {
  const encode = createBatchEncoder(engine, rules);
  const ranges = createRangeReader();
  return {
    async encode(work, room) {
      if (work.kind === 'batch') return encode(work, room);
      const { batch, read } = ranges.read(work);
      return { ...(await encode(batch, room)), read };
    },
    close: ranges.close,
  };
}

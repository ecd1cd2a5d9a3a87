import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createBatchEncoder, type EncodeBatch } from '../src/build/encode-batch.ts';
import { type EncodeRules, MAX_SEQUENCE_TOKENS } from '../src/build/encode-rules.ts';
import { createTextEngine, type EngineSource, prepareEngine } from '../src/build/text-engine.ts';
import type { Batch } from '../src/documents/batch.ts';
import { parseBpeModel } from '../src/tokenizer/bpe-model.ts';
import type { AddedTokenPolicy } from '../src/tokenizer/byte-level-bpe.ts';
import { TOKENIZER } from './fixtures.ts';

/** Ids of the tokenizer of the fixtures. */
export const EOD = 1000;

export const RULES: EncodeRules = {
  textKey: 'text',
  eodToken: EOD,
  dtype: 'uint16',
  specials: 'encode',
  keepEmpty: false,
  onBad: 'skip',
  onInvalidUtf8: 'skip',
  maxDocTokens: MAX_SEQUENCE_TOKENS,
};

const file = join(TOKENIZER, 'tokenizer.json');
const sources = new Map<AddedTokenPolicy, EngineSource>();

export function engineSource(specials: AddedTokenPolicy = 'encode'): EngineSource {
  const bytes = readFileSync(file);
  const source = sources.get(specials) ?? prepareEngine(parseBpeModel(bytes, file), bytes, file, specials);
  sources.set(specials, source);
  return source;
}

export async function batchEncoder(rules: Partial<EncodeRules> = {}): Promise<EncodeBatch> {
  const all = { ...RULES, ...rules };
  return createBatchEncoder(await createTextEngine(engineSource(all.specials), all.specials), all);
}

/** Lines of JSON as a batch. */
export function linesBatch(content: string | Uint8Array, more: Partial<Batch> = {}): Batch {
  return {
    kind: 'batch',
    layout: 'lines',
    content: 'json',
    bytes: Buffer.from(content),
    byteOffset: 0,
    isFirst: true,
    unit: 'line',
    ...more,
  };
}

/** Options of Node with which it runs the sources. */
export const SOURCE_ARGV = [
  '--conditions=development',
  '--import',
  join(import.meta.dirname, '../../../checks/register-typescript.mjs'),
];

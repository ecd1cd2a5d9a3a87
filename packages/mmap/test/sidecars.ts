import type { Sidecar } from '../src/sidecar.ts';

/** A sidecar as a build writes it, with what a test cares about. */
export function sidecar(changes: Partial<Sidecar> = {}): Sidecar {
  const sha256 = { bin: 'b'.repeat(64), idx: 'd'.repeat(64) };
  return {
    version: 1,
    tokenizer: { file: 'tokenizer.json', fingerprint: 'f'.repeat(64), vocabSize: 1000, eodToken: 0 },
    dtype: 'int32',
    documents: 1,
    sequences: 1,
    tokens: 1,
    maxId: 1,
    inputs: [{ path: 'a.jsonl', bytes: 10, sha256: 'a'.repeat(64) }],
    options: { textKey: 'text', splitParagraphs: false },
    dropped: { empty: 1 },
    heldOut: null,
    sha256,
    ...changes,
  };
}

/** The same with another tokenizer. */
export function otherTokenizer(changes: Partial<Sidecar> = {}): Sidecar {
  const tokenizer = { file: 'other.json', fingerprint: 'e'.repeat(64), vocabSize: 2000, eodToken: 0 };
  return sidecar({ ...changes, tokenizer });
}

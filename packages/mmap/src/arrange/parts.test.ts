import { linkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { documentsOf, writeDataset } from '../../test/datasets.ts';
import { refusal, temporaryFolder } from '../../test/fixtures.ts';
import { otherTokenizer, sidecar } from '../../test/sidecars.ts';
import type { Sidecar } from '../sidecar.ts';
import {
  checkVocabulary,
  chooseOutputDtype,
  deriveSidecar,
  inspectPart,
  type Part,
  refuseOwnInput,
  shareTokenizer,
} from './parts.ts';

const part = (prefix: string, changes: Partial<Part> = {}): Part => ({
  prefix,
  dtype: 'int32',
  documents: 2,
  sequences: 2,
  tokens: 9,
  hasModes: false,
  sidecar: undefined,
  warnings: [],
  ...changes,
});
const thrown = (act: () => unknown) => refusal(Promise.resolve().then(act));

test('a part is described and checked', async () => {
  const prefix = writeDataset([[[1, 2], [3]], []], { dtype: 'uint16', modes: [0, 1], sidecar: sidecar() });
  const found = await inspectPart(`${prefix}.idx`);
  expect(found).toMatchObject({ prefix, dtype: 'uint16', documents: 2, sequences: 2, tokens: 3, hasModes: true });
  expect(found.sidecar?.tokenizer.vocabSize).toBe(1000);
  expect((await refusal(inspectPart(join(temporaryFolder(), 'none')))).code).toBe('CPT_INPUT_FILE_MISSING');
});

test('an output that is an input is refused, also by another name', async () => {
  const prefix = writeDataset(documentsOf([3]));
  const found = await inspectPart(prefix);
  await expect(refuseOwnInput(join(temporaryFolder(), 'new'), [found])).resolves.toBeUndefined();
  const other = join(temporaryFolder(), 'other');
  linkSync(`${prefix}.bin`, `${other}.bin`);
  const third = join(temporaryFolder(), 'third');
  symlinkSync(`${prefix}.bin`, `${third}.bin`);
  for (const output of [prefix, other, third]) {
    expect((await refusal(refuseOwnInput(output, [part('x'), found]))).message).toContain(
      'one of the datasets to read',
    );
  }
});

describe('the dtype of an output', () => {
  it('is that of the parts, or the one asked for', async () => {
    expect(chooseOutputDtype([part('a', { dtype: 'uint16' }), part('b', { dtype: 'uint16' })], undefined)).toBe(
      'uint16',
    );
    expect(chooseOutputDtype([part('a', { dtype: 'uint16' }), part('b')], 'int32')).toBe('int32');
  });

  it('is not guessed when they differ', async () => {
    const error = await thrown(() => chooseOutputDtype([part('a', { dtype: 'uint16' }), part('b')], undefined));
    expect(error.code).toBe('CPT_INPUT_DTYPES_DIFFER');
    expect(error.message).toBe('a stores uint16, b stores int32; give --dtype int32 to store all ids so');
    expect((await thrown(() => chooseOutputDtype([part('a')], 'float16'))).code).toBe('CPT_INPUT_INVALID');
    expect((await thrown(() => chooseOutputDtype([part('a')], 'toString'))).code).toBe('CPT_INPUT_INVALID');
  });
});

describe('the tokenizer of parts', () => {
  const [a, b] = [part('a', { sidecar: sidecar() }), part('b', { sidecar: otherTokenizer() })];

  it('is the one that all sidecars name', () => {
    expect(shareTokenizer([a, part('c', { sidecar: sidecar() })], false)).toEqual({
      tokenizer: sidecar().tokenizer,
      warnings: [],
    });
    expect(shareTokenizer([part('c')], false)).toEqual({ tokenizer: undefined, warnings: [] });
  });

  it('is taken to be that of the others where no sidecar is', () => {
    const { tokenizer, warnings } = shareTokenizer([part('c'), a], false);
    expect(tokenizer).toEqual(sidecar().tokenizer);
    expect(warnings).toEqual(['c: no sidecar says which tokenizer it was made with; taken to be that of a']);
  });

  it('is refused when two are named, or let through without a sidecar', async () => {
    const error = await thrown(() => shareTokenizer([a, b], false));
    expect(error.code).toBe('CPT_INPUT_TOKENIZERS_DIFFER');
    expect(error.message).toContain('a with ffffffffffff… (1000 entries) and b with eeeeeeeeeeee… (2000 entries)');
    const { tokenizer, warnings } = shareTokenizer([a, b], true);
    expect(tokenizer).toBeUndefined();
    expect(warnings).toHaveLength(1);
  });

  it('has every id', async () => {
    const { tokenizer } = sidecar();
    expect(() => checkVocabulary('out', 999, tokenizer)).not.toThrow();
    expect(() => checkVocabulary('out', 5000, undefined)).not.toThrow();
    expect((await thrown(() => checkVocabulary('out', 1000, tokenizer))).code).toBe('CPT_INPUT_TOKEN_RANGE');
  });
});

describe('the sidecar of an output', () => {
  const summary = {
    documents: 4,
    sequences: 5,
    tokens: 18,
    maxId: 17,
    binBytes: 72,
    idxBytes: 1,
    sha256: { bin: 'x', idx: 'y' },
  };
  const derive = (
    sidecars: (Sidecar | undefined)[],
    tokenizer: Sidecar['tokenizer'] | undefined = sidecar().tokenizer,
  ) =>
    deriveSidecar(
      sidecars.map((sidecar, i) => ({ part: part(`p${i}`, { sidecar }), documents: 2, tokens: 9 })),
      tokenizer,
      'int32',
      summary,
      { command: 'merge' },
    );
  const inputs = [{ path: 'b.jsonl', bytes: 7, sha256: 'c'.repeat(64) }];

  it('counts what was written and says what it was made of', () => {
    const derived = derive([sidecar({ dtype: 'uint16' }), sidecar({ inputs, dropped: { empty: 2 } })]);
    expect(derived).toMatchObject({ version: 1, dtype: 'int32', documents: 4, sequences: 5, tokens: 18, maxId: 17 });
    expect(derived?.sha256).toEqual({ bin: 'x', idx: 'y' });
    expect(derived?.inputs).toEqual([...sidecar().inputs, ...inputs]);
    expect(derived?.dropped).toEqual({ empty: 3 });
    expect(derived?.origin).toEqual({
      command: 'merge',
      parts: ['p0', 'p1'].map((path) => ({
        path,
        documents: 2,
        tokens: 9,
        fingerprint: 'f'.repeat(64),
        sha256: sidecar().sha256,
      })),
    });
  });

  it('counts the two halves of one build once', () => {
    const half = (half: 'train' | 'valid') => sidecar({ heldOut: { part: half, share: 0.1, seed: 1 } });
    const derived = derive([half('train'), half('valid')]);
    expect(derived?.inputs).toEqual(sidecar().inputs);
    expect(derived?.dropped).toEqual({ empty: 1 });
    expect(derived?.heldOut).toBeNull();
    expect(derive([half('train'), half('train')])?.heldOut).toMatchObject({ part: 'train' });
  });

  it('keeps the options that all builds share', () => {
    const part = (part: string) =>
      sidecar({ options: { textKey: 'text', splitParagraphs: true, keepEmpty: true, part } });
    expect(derive([part('1/2'), part('2/2')])?.options).toEqual({
      textKey: 'text',
      splitParagraphs: true,
      keepEmpty: true,
    });
    expect(derive([part('1/2')])?.options.part).toBe('1/2');
    const other = sidecar({ options: { textKey: 'body', splitParagraphs: false } });
    expect(derive([sidecar(), other])?.options).toEqual({ textKey: 'text', splitParagraphs: false });
  });

  it('names a part without one as unknown', () => {
    expect(derive([undefined, sidecar()])?.origin?.parts[0]).toMatchObject({ fingerprint: null, sha256: null });
  });

  it('is left out when nothing is known, or two tokenizers were let through', () => {
    expect(derive([undefined])).toBeUndefined();
    expect(deriveSidecar([], undefined, 'int32', summary, { command: 'mix' })).toBeUndefined();
    const { warnings, tokenizer } = shareTokenizer(
      [part('a', { sidecar: sidecar() }), part('b', { sidecar: otherTokenizer() })],
      true,
    );
    expect(warnings[0]).toContain('no sidecar is written');
    const taken = [{ part: part('a', { sidecar: sidecar() }), documents: 1, tokens: 1 }];
    expect(deriveSidecar(taken, tokenizer, 'int32', summary, { command: 'mix' })).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { run72B } from '../../test/sample-specs.ts';
import { planRun } from './plan.ts';
import type { PlanFacts } from './plan-facts.ts';

type Dataset = NonNullable<PlanFacts['dataset']>;
const corpus: Dataset = { tokens: 2e9, sequences: 1e6, documents: 1e6, source: '/nas/dataset.idx' };
const found = (check: string, more: Partial<Dataset> = {}, facts: PlanFacts = {}) =>
  planRun(run72B(), { dataset: { ...corpus, ...more }, ...facts }).findings.filter(
    (finding) => finding.check === check,
  );
const levels = (more: Partial<Dataset>) => found('P7', more).map(({ level }) => level);

const sample = { characters: 10_000, validShare: 1, reproducedShare: 1, source: '64 MiB by tokenizer.json' };

describe('P7 a sample, decoded with the model’s tokenizer', () => {
  it.each([
    [0.999, 1, 'info'],
    [0.9989, 1, 'warn'], // the ids come back, so the text itself held the bytes
    [0.9989, 0.9, 'block'],
  ] as const)('%f of the characters valid, %f of the ids back: %s', (validShare, reproducedShare, level) => {
    const [valid] = found('P7', { decoded: { ...sample, validShare, reproducedShare } });
    expect(valid).toMatchObject({ level, numbers: { validShare, least: 0.999, characters: 10_000 } });
    expect(valid?.message).toContain('(64 MiB by tokenizer.json)');
  });

  it('blocks ids that do not come back', () => {
    expect(levels({ decoded: { ...sample, reproducedShare: 0.91 } })).toEqual(['info', 'block']);
  });

  it('compares the fingerprints: unequal files of equal ids only warn', () => {
    const fingerprint = 'a'.repeat(64);
    const decoded = { ...sample, fingerprint };
    expect(found('P7', { fingerprint, decoded }).at(-1)).toMatchObject({ level: 'info' });
    const other = { fingerprint: 'b'.repeat(64) };
    expect(found('P7', { ...other, decoded }).at(-1)).toMatchObject({ level: 'warn' });
    const { reproducedShare, ...unknown } = decoded;
    expect(found('P7', { ...other, decoded: unknown }).at(-1)).toMatchObject({
      level: 'block',
      message: 'the dataset was built with the tokenizer bbbbbbbbbbbb…, the model’s is aaaaaaaaaaaa…',
    });
  });

  it.each([
    [1, 'info'],
    [0.9, 'info'],
    [0.5, 'warn'],
    [0, 'block'],
  ] as const)('%f of the documents end with the end of document: %s', (eodShare, level) => {
    expect(levels({ eodShare })).toEqual([level]);
  });

  it('G5: blocks the guide’s sample, whose ids are another model’s, also without a sidecar', () => {
    const otherTokenizer = '100 % of documents end with 128001 (<|end_of_text|> of Llama-3)';
    const [block] = found('P7', { otherTokenizer });
    expect(block).toMatchObject({ level: 'block', advice: expect.stringContaining('tokenise again') });
    expect(block?.message).toContain(otherTokenizer);
  });
});

describe('P6 the files', () => {
  const folder = (...names: string[]) => found('P6', {}, { dataFolder: { names, source: 'ls /nas' } });
  it('G4: are dataset.bin and dataset.idx', () => {
    expect(folder('dataset.bin', 'dataset.idx').map(({ level }) => level)).toEqual(['info']);
    expect(folder('wudao.bin', 'wudao.idx')[0]).toMatchObject({
      level: 'block',
      message: 'dataset.bin and dataset.idx are not there (ls /nas)',
      advice: expect.stringContaining('rename wudao.bin and wudao.idx'),
    });
    expect(folder('dataset.bin')[0]).toMatchObject({
      level: 'block',
      message: 'dataset.idx is not there (ls /nas)',
      advice: expect.stringContaining('cpt-mmap build'),
    });
  });
});

describe('continued pre-training, or fine-tuning?', () => {
  const advice = expect.stringContaining('fine-tune instead');
  const warnings = (more: Partial<Dataset>) =>
    found('P6', more).filter((finding) => finding.level === 'warn' && /fine-tun/.test(finding.advice ?? ''));
  it('warns when the documents are questions with answers', () => {
    expect(warnings({ chatShare: 0.049 })).toEqual([]);
    expect(warnings({ chatShare: 0.9 })).toMatchObject([{ advice, numbers: { chatShare: 0.9 } }]);
  });
  it('warns of some thousand examples, and not of a few long books', () => {
    expect(warnings({ documents: 2000, tokens: 1e6 })).toMatchObject([{ advice, numbers: { documents: 2000 } }]);
    expect(warnings({ documents: 2000, tokens: 2e9 })).toEqual([]);
    expect(warnings({ documents: 5000, tokens: 1e6 })).toEqual([]);
  });
});

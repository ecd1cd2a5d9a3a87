import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { type Documents, documentsOf, readDocuments, writeDataset } from '../../test/datasets.ts';
import { filesIn, openDescriptors, readFixture, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { otherTokenizer, sidecar } from '../../test/sidecars.ts';
import { openDataset, readSidecar } from '../node.ts';
import { mixDatasets } from './mix.ts';

interface MixCase {
  name: string;
  lengths: number[][];
  shares: number[];
  tokens: number;
  seed: number;
  taken: { documents: number; tokens: number; budget: number }[];
  order: number[];
}
const { mixes } = readFixture('mmap/arrangements.json') as { mixes: MixCase[] };

async function read(prefix: string): Promise<Documents> {
  const dataset = await openDataset(prefix);
  const documents = await readDocuments(dataset);
  await dataset.close();
  return documents;
}

/** Sources on disk whose tokens are all different, and their documents counted through. */
function writeSources(lengths: readonly (readonly number[])[]) {
  let first = 0;
  const all: Documents = [];
  const inputs = lengths.map((source) => {
    const documents = documentsOf(source, first);
    first += source.reduce((sum, length) => sum + length, 0);
    all.push(...documents);
    return writeDataset(documents);
  });
  return { inputs, all };
}

test.each(mixes)('$name: the documents and the order of the reference', async (wanted) => {
  const { inputs, all } = writeSources(wanted.lengths);
  const output = join(temporaryFolder(), 'mixed');
  const mixed = await mixDatasets({
    output,
    sources: inputs.map((input, i) => ({ input, share: wanted.shares[i] as number })),
    tokens: wanted.tokens,
    seed: wanted.seed,
    allowRepeat: true,
  });
  expect(mixed.sources.map(({ documents, tokens }) => ({ documents, tokens }))).toEqual(
    wanted.taken.map(({ documents, tokens }) => ({ documents, tokens })),
  );
  for (const [i, { share, epochs, tokens }] of mixed.sources.entries()) {
    const { budget } = wanted.taken[i] as MixCase['taken'][number];
    const lengths = wanted.lengths[i] as number[];
    expect(share).toBeCloseTo(budget / wanted.tokens, 2);
    expect(epochs).toBeCloseTo(tokens / lengths.reduce((a, b) => a + b, 0), 12);
    expect(Math.abs(tokens - budget)).toBeLessThanOrEqual(Math.max(...lengths) / 2);
  }
  expect(await read(output)).toEqual(wanted.order.map((document) => all[document]));
});

test('without a total, the numbers are the tokens of each source', async () => {
  const { inputs } = writeSources([new Array<number>(50).fill(10), new Array<number>(50).fill(10)]);
  const sources = inputs.map((input, i) => ({ input, share: [100, 300][i] as number }));
  const mixed = await mixDatasets({ output: join(temporaryFolder(), 'mixed'), sources });
  expect(mixed.sources.map(({ tokens, share }) => [tokens, share])).toEqual([
    [100, 0.25],
    [300, 0.75],
  ]);
  expect(mixed.dataPath).toBe(`--data-path 0.25 ${inputs[0]} 0.75 ${inputs[1]}`);
  expect(mixed.warnings).toEqual([]);
});

test('the argument for Megatron: six digits, quoted where a shell needs it', async () => {
  const inputs = ["it's", 'b'].map((name) => writeDataset(documentsOf(new Array<number>(50).fill(10)), { name }));
  const sources = inputs.map((input, i) => ({ input, share: i + 1 }));
  const { dataPath } = await mixDatasets({ output: join(temporaryFolder(), 'mixed'), sources, tokens: 300 });
  const quoted = `'${(inputs[0] as string).replace("'", String.raw`'\''`)}'`;
  expect(dataPath).toBe(`--data-path 0.333333 ${quoted} 0.666667 ${inputs[1]}`);
});

describe('a source that is too small', () => {
  const make = () => writeSources([new Array<number>(10).fill(10), new Array<number>(10).fill(10)]);

  it('is refused with what would fit', async () => {
    const { inputs } = make();
    const folder = temporaryFolder();
    const sources = [
      { input: inputs[0] as string, share: 4 },
      { input: inputs[1] as string, share: 1 },
    ];
    const output = join(folder, 'mixed');
    const error = await refusal(mixDatasets({ output, sources, tokens: 200 }));
    expect(error.code).toBe('CPT_INPUT_TOO_FEW_TOKENS');
    expect(error.message).toBe(
      `${inputs[0]}: has 100 tokens, its share is 160; mix at most 125 tokens in these shares, or repeat documents with --allow-repeat`,
    );
    expect(filesIn(folder)).toEqual([]);
    expect((await mixDatasets({ output, sources, tokens: 125 })).tokens).toBe(130); // 100 and, of 25, 30 as near as 20
  });

  it('is repeated when asked, and said to be', async () => {
    const { inputs } = make();
    const sources = [
      { input: inputs[0] as string, share: 450 },
      { input: inputs[1] as string, share: 50 },
    ];
    const output = join(temporaryFolder(), 'mixed');
    const mixed = await mixDatasets({ output, sources, allowRepeat: true });
    expect(mixed.sources.map(({ documents, epochs }) => [documents, epochs])).toEqual([
      [45, 4.5],
      [5, 0.5],
    ]);
    expect(mixed.warnings).toEqual([
      expect.stringContaining('its documents are taken 4.5 times'),
      expect.stringContaining('hold validation out before mixing'),
    ]);
  });

  it('has no tokens to repeat', async () => {
    const [input, other] = [writeDataset([[], [[]]]), writeDataset(documentsOf([5]))];
    const sources = [input, other].map((input) => ({ input, share: 1 }));
    const mix = mixDatasets({ output: join(temporaryFolder(), 'mixed'), sources, tokens: 4, allowRepeat: true });
    expect((await refusal(mix)).code).toBe('CPT_INPUT_TOO_FEW_TOKENS');
  });
});

test('dtypes, modes and tokenizers as in a merge', async () => {
  const narrow = writeDataset([[[1, 2]], [[3, 4]]], { dtype: 'uint16', modes: [1, 2], sidecar: sidecar() });
  const wide = writeDataset([[[7, 70000]]], { modes: [3], sidecar: otherTokenizer() });
  const sources = [
    { input: narrow, share: 4 },
    { input: wide, share: 2 },
  ];
  const output = join(temporaryFolder(), 'mixed');
  expect((await refusal(mixDatasets({ output, sources }))).code).toBe('CPT_INPUT_DTYPES_DIFFER');
  const int32 = { output, sources, dtype: 'int32' };
  expect((await refusal(mixDatasets(int32))).code).toBe('CPT_INPUT_TOKENIZERS_DIFFER');
  const forced = await mixDatasets({ ...int32, forceTokenizers: true });
  expect(forced).toMatchObject({ dtype: 'int32', documents: 3, tokens: 6, maxId: 70000 });
  const dataset = await openDataset(output);
  const modes = new Map((await readDocuments(dataset)).map(([ids], i) => [ids?.[0], dataset.modes?.[i]]));
  await dataset.close();
  expect(modes).toEqual(
    new Map([
      [1, 1],
      [3, 2],
      [7, 3],
    ]),
  );
});

test('the sidecar says what was taken', async () => {
  const input = writeDataset(documentsOf([10, 10, 10]), { sidecar: sidecar() });
  const output = join(temporaryFolder(), 'mixed');
  const { sha256 } = await mixDatasets({ output, sources: [{ input, share: 20 }], seed: 9 });
  expect(await readSidecar(output)).toMatchObject({
    documents: 2,
    tokens: 20,
    sha256,
    origin: { command: 'mix', seed: 9, parts: [{ path: input, documents: 2, tokens: 20 }] },
  });
});

test('the same seed gives the same bytes, another one others', async () => {
  const { inputs } = writeSources([new Array<number>(40).fill(3)]);
  const sources = [{ input: inputs[0] as string, share: 60 }];
  const digest = async (seed: number) =>
    (await mixDatasets({ output: join(temporaryFolder(), 'mixed'), sources, seed })).sha256.bin;
  expect(await digest(1)).toBe(await digest(1));
  expect(await digest(1)).not.toBe(await digest(2));
});

test('what cannot be leaves nothing', async () => {
  const input = writeDataset(documentsOf([10]));
  const folder = temporaryFolder();
  const output = join(folder, 'mixed');
  const sources = [{ input, share: 5 }];
  for (const options of [
    { sources: [] },
    { sources: [...sources, ...sources] },
    { sources: [{ input, share: 0 }] },
    { sources: [{ input, share: Number.NaN }] },
    { sources, tokens: 0 },
    { sources, tokens: 1.5 },
    { sources, seed: -1 },
    { sources, output: input, force: true },
  ]) {
    expect((await refusal(mixDatasets({ output, ...options }))).code, JSON.stringify(options)).toBe(
      'CPT_INPUT_INVALID',
    );
  }
  const reason = new Error('enough');
  await expect(mixDatasets({ output, sources, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(filesIn(folder)).toEqual([]);
  expect([...openDescriptors(folder), ...openDescriptors(input)]).toEqual([]);
});

test('fewer tokens than half a document of any source are refused with the reason', async () => {
  const { inputs } = writeSources([[5], [7]]);
  const sources = inputs.map((input) => ({ input, share: 1 }));
  const error = await refusal(mixDatasets({ output: join(temporaryFolder(), 'mixed'), sources }));
  expect(error).toMatchObject({ code: 'CPT_INPUT_INVALID' });
  expect(error.message).toBe('1 + 1 tokens are less than half a document of any source; ask for more with --tokens');
});

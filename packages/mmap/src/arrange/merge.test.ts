import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { documentsOf, readDocuments, writeDataset } from '../../test/datasets.ts';
import { filesIn, openDescriptors, readFixture, refusal, temporaryFolder } from '../../test/fixtures.ts';
import { otherTokenizer, sidecar } from '../../test/sidecars.ts';
import { openDataset, readSidecar } from '../node.ts';
import { mergeDatasets } from './merge.ts';

interface Pair {
  idx: string;
  bin: string;
}
const { merges } = readFixture('mmap/arrangements.json') as {
  merges: { name: string; dtype: string | null; parts: Pair[]; merged: Pair }[];
};

function writePair({ idx, bin }: Pair): string {
  const prefix = join(temporaryFolder(), 'part');
  writeFileSync(`${prefix}.idx`, Buffer.from(idx, 'hex'));
  writeFileSync(`${prefix}.bin`, Buffer.from(bin, 'hex'));
  return prefix;
}

test.each(merges)('$name: the bytes of the reference', async ({ dtype, parts, merged }) => {
  const output = join(temporaryFolder(), 'merged');
  const inputs = parts.map(writePair);
  const result = await mergeDatasets({ inputs, output, ...(dtype !== null && { dtype }) });
  expect(readFileSync(`${output}.idx`, 'hex')).toBe(merged.idx);
  expect(readFileSync(`${output}.bin`, 'hex')).toBe(merged.bin);
  expect(result).toMatchObject({ prefix: output, binBytes: merged.bin.length / 2, idxBytes: merged.idx.length / 2 });
  expect(result.parts.map(({ prefix }) => prefix)).toEqual(inputs);
});

test.each([
  ['modes of one part only', 'are left out: not every part has them'],
  ['bytes behind the last token', '4 trailing bytes belong to no sequence'],
  ['gaps between sequences', 'a foreign writer'],
])('%s: said', async (name, warning) => {
  const { parts } = merges.find((merge) => merge.name === name) as (typeof merges)[number];
  const { warnings } = await mergeDatasets({ inputs: parts.map(writePair), output: join(temporaryFolder(), 'merged') });
  expect(warnings).toContainEqual(expect.stringContaining(warning));
});

describe('sidecars', () => {
  it('become one', async () => {
    const inputs = [1, 2].map((first) => writeDataset(documentsOf([3, 4], first), { sidecar: sidecar() }));
    const output = join(temporaryFolder(), 'merged');
    const { sha256, warnings } = await mergeDatasets({ inputs, output });
    expect(warnings).toEqual([]);
    expect(await readSidecar(output)).toMatchObject({
      documents: 4,
      tokens: 14,
      maxId: 8,
      sha256,
      tokenizer: sidecar().tokenizer,
      origin: { command: 'merge', parts: inputs.map((path) => ({ path, documents: 2, tokens: 7 })) },
    });
  });

  it('of two tokenizers are refused, or none is written', async () => {
    const inputs = [sidecar(), otherTokenizer()].map((sidecar) => writeDataset(documentsOf([3]), { sidecar }));
    const folder = temporaryFolder();
    const output = join(folder, 'merged');
    expect((await refusal(mergeDatasets({ inputs, output }))).code).toBe('CPT_INPUT_TOKENIZERS_DIFFER');
    expect(filesIn(folder)).toEqual([]);
    const { warnings } = await mergeDatasets({ inputs, output, forceTokenizers: true });
    expect(warnings).toHaveLength(1);
    expect(filesIn(folder)).toEqual(['merged.bin', 'merged.idx']);
  });

  it('say which ids there are: one more is a wrong part', async () => {
    const inputs = [writeDataset([[[999]]], { sidecar: sidecar() }), writeDataset([[[1000]]])];
    const folder = temporaryFolder();
    const error = await refusal(mergeDatasets({ inputs, output: join(folder, 'merged') }));
    expect(error.code).toBe('CPT_INPUT_TOKEN_RANGE');
    expect(error.message).toContain('would hold id 1000, the tokenizer has 1000 entries');
    expect(filesIn(folder)).toEqual([]);
  });
});

describe('what cannot be', () => {
  const one = () => writeDataset(documentsOf([3]));

  it('no part, another dtype, its own part, an output that is there', async () => {
    const output = join(temporaryFolder(), 'merged');
    expect((await refusal(mergeDatasets({ inputs: [], output }))).code).toBe('CPT_INPUT_INVALID');
    const uint16 = writeDataset(documentsOf([3]), { dtype: 'uint16' });
    expect((await refusal(mergeDatasets({ inputs: [one(), uint16], output }))).code).toBe('CPT_INPUT_DTYPES_DIFFER');
    const own = one();
    expect((await refusal(mergeDatasets({ inputs: [own, uint16], output: own, force: true }))).code).toBe(
      'CPT_INPUT_INVALID',
    );
    const wide = writeDataset([[[70000]]]);
    const narrowed = mergeDatasets({ inputs: [wide], output, dtype: 'uint16' });
    expect((await refusal(narrowed)).code).toBe('CPT_INPUT_TOKEN_RANGE');
    await mergeDatasets({ inputs: [one()], output });
    expect((await refusal(mergeDatasets({ inputs: [one()], output }))).code).toBe('CPT_INPUT_OUTPUT_EXISTS');
    const again = one();
    expect((await mergeDatasets({ inputs: [again, again], output, force: true })).warnings).toEqual([
      `${again}: merged more than once`,
    ]);
  });

  it('a damaged part: refused before anything is written, with the part named', async () => {
    const inputs = [one(), one()];
    truncateSync(`${inputs[1]}.bin`, 11);
    const folder = temporaryFolder();
    const error = await refusal(mergeDatasets({ inputs, output: join(folder, 'merged') }));
    expect(error.code).toBe('CPT_FORMAT_MMAP_BIN_TRUNCATED');
    expect(error.details.file).toBe(`${inputs[1]}.bin`);
    expect(filesIn(folder)).toEqual([]);
  });

  it('an abort leaves nothing and no file open', async () => {
    const folder = temporaryFolder();
    const input = one();
    const reason = new Error('enough');
    const merge = mergeDatasets({ inputs: [input], output: join(folder, 'm'), signal: AbortSignal.abort(reason) });
    await expect(merge).rejects.toBe(reason);
    expect(filesIn(folder)).toEqual([]);
    expect([...openDescriptors(folder), ...openDescriptors(input)]).toEqual([]);
  });
});

test("a folder gives its dataset, progress ends at all bytes, Megatron's old indices are named", async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'dataset/cache/GPTDataset_indices'), { recursive: true });
  const inputs = [1, 2].map((first) => writeDataset(documentsOf([30, 40], first)));
  const seen: number[][] = [];
  const { prefix, warnings } = await mergeDatasets({
    inputs,
    output: folder,
    onProgress: ({ documents, tokens, bytesRead, bytesTotal }) =>
      void seen.push([documents, tokens, bytesRead, bytesTotal]),
  });
  expect(prefix).toBe(join(folder, 'dataset'));
  expect(seen.at(-1)).toEqual([4, 140, 560, 560]);
  expect(warnings).toContainEqual(expect.stringContaining('GPTDataset_indices'));
  const dataset = await openDataset(prefix);
  expect(await readDocuments(dataset)).toEqual([...documentsOf([30, 40], 1), ...documentsOf([30, 40], 2)]);
  await dataset.close();
});

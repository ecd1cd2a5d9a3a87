import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bytesSource } from '@pai-cpt/core';
import { fileSource } from '@pai-cpt/core/node';
import { expect, it } from 'vitest';
import { FIXTURES } from '../test/expected-values.ts';
import * as torchCheckpoint from './index.ts';

/** The README's example number `at`, with another path; what it printed, line by line. */
async function run(at: number, path: string, given: Record<string, unknown> = {}): Promise<unknown[][]> {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const code = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)][at]?.[1] ?? '';
  const names = [...code.matchAll(/^import \{([^}]+)\}/gm)].flatMap(([, list = '']) => list.split(','));
  const body = code
    .replaceAll(/^import .*\n/gm, '')
    .replace(/'(model_optim_rng|downloaded)\.pt'/, JSON.stringify(path));
  const printed: unknown[][] = [];
  const known: Record<string, unknown> = { ...torchCheckpoint, fileSource };
  const scope: Record<string, unknown> = { console: { log: (...values: unknown[]) => printed.push(values) }, ...given };
  for (const name of names.map((each) => each.trim())) {
    expect(known[name], name).toBeDefined();
    scope[name] = known[name];
  }
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  await new AsyncFunction(...Object.keys(scope), body)(...Object.values(scope));
  return printed;
}

const rankFile = fileURLToPath(
  new URL('../checkpoints/qwen2-tp1-pp1/megatron/release/mp_rank_00/model_optim_rng.pt', FIXTURES),
);

it('the example that reads prints what torch saved', async () => {
  const printed = await run(0, rankFile);
  expect(printed[0]).toEqual([2, { kind: 'dtype', name: 'bfloat16', dtype: 'BF16' }]);
  expect(printed[1]).toEqual([
    'model.embedding.word_embeddings.weight',
    'BF16',
    [20, 16],
    [16, 1],
    expect.any(Uint8Array),
  ]);
});

it('the example that writes makes a file that is read back, with one storage for both names', async () => {
  const chunks: Uint8Array[] = [];
  await run(1, '', { sink: { write: async (bytes: Uint8Array) => void chunks.push(bytes.slice()) } });
  const file = await torchCheckpoint.openTorchFile(bytesSource(Buffer.concat(chunks)), 'written.pt');
  expect([...file.tensors.values()]).toEqual(['model.embedding.word_embeddings.weight', 'model.output_layer.weight']);
  expect([...file.tensors.keys()].map(({ storageKey }) => storageKey)).toEqual(['0', '0']);
  const args = torchCheckpoint.namespaceFields(torchCheckpoint.getEntry(file.root, 'args'));
  expect(args.get('num_layers')).toBe(4);
});

it('the example that audits prints every global', async () => {
  const printed = await run(2, rankFile);
  expect(printed).toContainEqual(['inert record', 1, 'argparse.Namespace']);
  expect(printed.map(([builds]) => builds)).not.toContain('refused');
});

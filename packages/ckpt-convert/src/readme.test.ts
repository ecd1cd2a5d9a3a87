import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FIXTURES } from '../test/tiny-checkpoint.ts';
import * as converter from './index.ts';

it('the example that opens a checkpoint prints every parameter and reads its first bytes', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const code = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, block]) => block as string);
  const example = code.find((block) => block.includes("openMegatronCheckpoint('checkpoint')")) ?? '';
  const path = JSON.stringify(join(FIXTURES, 'qwen2-tp2-pp2', 'megatron'));
  const body = example.replace(/^import .*\n/m, '').replace("'checkpoint'", path);
  const printed: unknown[][] = [];
  const scope = { console: { log: (...values: unknown[]) => printed.push(values) }, ...converter };
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  await new AsyncFunction(...Object.keys(scope), body)(...Object.values(scope));
  // The embedding, 7 parameters of each of 4 layers, the final norm and the head.
  expect(printed).toHaveLength(1 + 4 * 7 + 2);
  expect(printed[0]).toEqual(['embedding.word_embeddings.weight', 'BF16', [12, 16], [16, 1], expect.any(Uint8Array)]);
});

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import * as safetensors from './index.ts';

const FIXTURES = new URL('../../../fixtures/safetensors/', import.meta.url);

/** The body of the README's example number `at`, without its import, which gives the names that it may use. */
async function example(at: number): Promise<{ names: string[]; body: string }> {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const blocks = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code as string);
  const [statement = '', list = ''] =
    /^import \{([^}]+)\} from '@pai-cpt\/safetensors';\n/.exec(blocks[at] ?? '') ?? [];
  return { names: list.split(',').map((name) => name.trim()), body: (blocks[at] ?? '').slice(statement.length) };
}

/** Runs the example; what it printed, line by line. */
async function run(at: number, given: Record<string, unknown>, edit = (body: string) => body): Promise<unknown[][]> {
  const { names, body } = await example(at);
  const printed: unknown[][] = [];
  const scope: Record<string, unknown> = { console: { log: (...values: unknown[]) => printed.push(values) }, ...given };
  const exported: Record<string, unknown> = { ...safetensors };
  for (const name of names) scope[name] = exported[name];
  expect(names.every((name) => scope[name] !== undefined)).toBe(true);
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  await new AsyncFunction(...Object.keys(scope), edit(body))(...Object.values(scope));
  return printed;
}

it('the example that reads lists what Python wrote', async () => {
  const folder = fileURLToPath(new URL('python-sharded', FIXTURES));
  const expected = JSON.parse(await readFile(new URL('expected.json', FIXTURES), 'utf8'))['python-sharded'];
  const printed = await run(0, {}, (body) => body.replace("'Qwen2-0.5B'", JSON.stringify(folder)));
  expect(printed.slice(0, -1).map(([name]) => name)).toEqual(expect.arrayContaining(Object.keys(expected)));
  const [name] = printed[0] as [string];
  expect(printed.at(-1)).toEqual([32, new Uint8Array(Buffer.from(expected[name].hex, 'hex').subarray(0, 8))]);
});

it('the example that writes makes a file that is read back', async () => {
  const files = new Map<string, Buffer[]>();
  const sinkOf = (name: string) => ({
    async write(bytes: Uint8Array) {
      files.set(name, [...(files.get(name) ?? []), Buffer.from(bytes)]);
    },
  });
  const printed = await run(1, { sinkOf });
  const bytes = Buffer.concat(files.get('model.safetensors') ?? []);
  expect(printed[0]).toEqual(['model.safetensors', bytes.byteLength]);
  const { tensors } = safetensors.parseHeader(bytes, bytes.byteLength, 'model.safetensors');
  expect([...tensors.keys()]).toEqual(['model.norm.weight', 'lm_head.weight']);
  expect(JSON.parse(printed[1]?.[0] as string)).toMatchObject({ metadata: { total_size: 32 } });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTokenizer } from '@pai-cpt/mmap';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

const fixtures = join(import.meta.dirname, '../../../../fixtures');
const vllm = join(import.meta.dirname, '../../images/tiny-vllm/bin/vllm');

let model: string;
beforeAll(async () => {
  model = await mkdtemp(join(tmpdir(), 'tiny-vllm-'));
  for (const file of ['config.json', 'model.safetensors']) {
    await copyFile(join(fixtures, 'model-runner/model', file), join(model, file));
  }
  await copyFile(join(fixtures, 'tokenizer/tokenizer.json'), join(model, 'tokenizer.json'));
});
afterAll(() => rm(model, { recursive: true }));

const running: ChildProcess[] = [];
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

function start(...args: string[]) {
  const child = spawn(vllm, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  const exited = once(child, 'close').then(([code]) => code as number | null);
  const listening = async (): Promise<string> => {
    for (;;) {
      const url = / at (http:\S+),/.exec(output.stdout)?.[1];
      if (url) return url;
      if (child.exitCode !== null) throw new Error(`vllm ended: ${output.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return { child, output, exited, listening };
}

type Completion = { choices: [{ text: string; logprobs: { token_logprobs: number[] } }] };

describe('vllm serve', () => {
  it('gives the tokens and log-probabilities that torch computes, until SIGTERM', async () => {
    const server = start('serve', model, '--served-model-name', 'tiny', '--port', '0', '--max-model-len', '64');
    const url = await server.listening();
    const { generation } = JSON.parse(await readFile(join(fixtures, 'model-runner/reference.json'), 'utf8'));
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'tiny',
        prompt: generation.prompt,
        max_tokens: generation.tokens.length,
        temperature: 0,
        logprobs: 1,
      }),
    });
    const { choices } = (await response.json()) as Completion;
    const tokenizer = await loadTokenizer(model);
    expect(choices[0].text).toBe(await tokenizer.decode(generation.tokens));
    for (const [i, logprob] of choices[0].logprobs.token_logprobs.entries()) {
      expect(logprob).toBeCloseTo(generation.logprobs[i], 4);
    }
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: unknown[] };
    expect(models.data[0]).toMatchObject({ id: 'tiny', root: model, max_model_len: 64 });
    server.child.kill('SIGTERM');
    expect(await server.exited).toBe(0);
  });

  it.each([
    ['a folder that is no model', ['serve', '/nowhere/model'], '/nowhere/model/config.json: does not exist'],
    [
      'more tokens than the model has positions',
      ['--max-model-len', '257'],
      'max_position_embeddings of the model is 256',
    ],
    ['an option it does not know', ['--quantization', 'awq'], "Unknown option '--quantization'"],
  ])('refuses %s in one line', async (_, args, message) => {
    const server = start(...(args[0] === 'serve' ? args : ['serve', model, ...args]));
    expect(await server.exited).toBe(2);
    expect(server.output.stderr).toContain(message);
    expect(server.output.stderr.trim().split('\n')).toHaveLength(1);
  });
});

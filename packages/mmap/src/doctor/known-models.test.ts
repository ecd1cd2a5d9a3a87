import { expect, test } from 'vitest';
import { refusal } from '../../test/fixtures.ts';
import { findModel } from './known-models.ts';

test.each([
  ['qwen2-72b', 'qwen2-72b'],
  ['Qwen2-72B', 'qwen2-72b'],
  ['Qwen/Qwen2-72B-Instruct', 'qwen2-72b'],
  ['Qwen/Qwen3-8B-Base', 'qwen3-8b'],
  ['meta-llama/Meta-Llama-3-8B-Instruct', 'llama-3-8b'],
  ['meta-llama/Llama-3.1-70B', 'llama-3.1-70b'],
  ['mistralai/Mistral-7B-Instruct-v0.3', 'mistral-7b-v0.3'],
])('%s is %s', (name, known) => {
  expect(findModel(name).name).toBe(known);
});

test.each(['Qwen/Qwen9-8B', 'qwen2-72b-vl', '', 'instruct'])('%j is no model of the table', async (name) => {
  const error = await refusal(Promise.resolve().then(() => findModel(name)));
  expect(error).toMatchObject({ code: 'CPT_INPUT_INVALID' });
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { openHfWeights, type Reference, readReference, readShape } from '../test/fixtures.ts';
import { type GenerateOptions, type Generator, openGenerator } from './generate.ts';

let generator: Generator;
let reference: Reference['generation'];
let prompt: Int32Array;

beforeAll(async () => {
  generator = await openGenerator({ shape: await readShape(), weights: await openHfWeights() });
  reference = (await readReference()).generation;
  prompt = Int32Array.from(reference.prompt);
});
afterAll(() => generator.close());

async function collect(ids: Int32Array, options: GenerateOptions) {
  const tokens: number[] = [];
  const logprobs: number[] = [];
  for await (const { token, logprob } of generator.generate(ids, options)) {
    tokens.push(token);
    logprobs.push(logprob);
  }
  return { tokens, logprobs };
}

it('greedily gives the tokens and log probabilities that torch gives without a cache', async () => {
  const { tokens, logprobs } = await collect(prompt, { maxTokens: 16 });
  expect(tokens).toEqual(reference.tokens);
  logprobs.forEach((logprob, i) => {
    expect(logprob).toBeCloseTo(reference.logprobs[i] as number, 4);
  });
});

it('gives the same tokens with its cache as from the whole text anew at every step', async () => {
  const text = [...prompt];
  for (const expected of reference.tokens) {
    const { tokens } = await collect(Int32Array.from(text), { maxTokens: 1 });
    expect(tokens).toEqual([expected]);
    text.push(expected);
  }
});

it('scores a text with the log probabilities that torch gives', async () => {
  const text = Int32Array.from([...prompt, ...reference.tokens]);
  const scores = await generator.score(text);
  expect(scores).toHaveLength(text.length - 1);
  reference.logprobs.forEach((logprob, i) => {
    expect(scores[prompt.length - 1 + i]).toBeCloseTo(logprob, 4);
  });
  await expect(generator.score(new Int32Array())).rejects.toMatchObject({ code: 'CPT_INPUT_INVALID' });
});

it('runs several generations at once without mixing them', async () => {
  const results = await Promise.all([1, 2, 3].map(() => collect(prompt, { maxTokens: 16 })));
  for (const { tokens } of results) expect(tokens).toEqual(reference.tokens);
});

it('ends before a stop token', async () => {
  const stop = reference.tokens[4] as number;
  const { tokens } = await collect(prompt, { maxTokens: 16, stopTokens: [stop] });
  expect(tokens).toEqual(reference.tokens.slice(0, reference.tokens.indexOf(stop)));
});

it('draws the same tokens for the same seed and others for another', async () => {
  const options = { maxTokens: 12, temperature: 1.5 };
  const first = await collect(prompt, { ...options, seed: 7 });
  expect(await collect(prompt, { ...options, seed: 7 })).toEqual(first);
  expect(await collect(prompt, { ...options, seed: 8 })).not.toEqual(first);
  expect(first.tokens).not.toEqual(reference.tokens.slice(0, 12));
});

it('rejects with the reason of an aborted signal between two tokens', async () => {
  const controller = new AbortController();
  const tokens: number[] = [];
  const run = async () => {
    for await (const { token } of generator.generate(prompt, { maxTokens: 16, signal: controller.signal })) {
      tokens.push(token);
      if (tokens.length === 3) controller.abort(new Error('the client went away'));
    }
  };
  await expect(run()).rejects.toThrow('the client went away');
  expect(tokens).toEqual(reference.tokens.slice(0, 3));
});

it.each([
  { ids: [], why: 'the prompt is empty' },
  { ids: [250], why: 'token 250 is outside the vocabulary of 250' },
  { ids: [-1], why: 'token -1 is outside the vocabulary of 250' },
])('refuses the prompt $ids', async ({ ids, why }) => {
  await expect(collect(Int32Array.from(ids), { maxTokens: 1 })).rejects.toMatchObject({
    code: 'CPT_INPUT_INVALID',
    message: expect.stringContaining(why),
  });
});

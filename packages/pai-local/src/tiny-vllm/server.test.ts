import { join } from 'node:path';
import { loadTokenizer, type Tokenizer } from '@pai-cpt/mmap';
import type { FastifyInstance } from 'fastify';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SamplingOptions, ServedModel } from './served-model.ts';
import { buildServer } from './server.ts';

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await loadTokenizer(join(import.meta.dirname, '../../../../fixtures/tokenizer'));
});

const open: FastifyInstance[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

/** A model that answers every prompt with the tokens of one text, and then ends it. */
function scripted(answer: string, changes: Partial<ServedModel> = {}) {
  const calls: { prompt: number[]; options: SamplingOptions }[] = [];
  const model: ServedModel = {
    name: 'tiny',
    root: '/model',
    maxModelLength: 64,
    vocabSize: tokenizer.vocabSize,
    encode: (text) => tokenizer.encode(text),
    decode: (ids) => tokenizer.decode(ids),
    async *generate(promptIds, options) {
      calls.push({ prompt: [...promptIds], options });
      const ids = await tokenizer.encode(answer);
      for (const token of ids.subarray(0, options.maxTokens)) yield { token, logprob: -0.5 };
    },
    score: async (ids) => Array.from({ length: ids.length - 1 }, (_, at) => -1 - at),
    ...changes,
  };
  const server = buildServer(model);
  open.push(server);
  const complete = (body: object) => server.inject({ method: 'POST', url: '/v1/completions', payload: body });
  return { server, calls, complete };
}

/** The JSON of each event; the last is `[DONE]` itself. */
function events(payload: string): unknown[] {
  return payload
    .split('\n\n')
    .filter(Boolean)
    .map((line) => line.replace(/^data: /, ''))
    .map((data) => (data === '[DONE]' ? data : JSON.parse(data)));
}

type Chunk = { choices: { text: string; finish_reason: string | null; logprobs: { text_offset: number[] } | null }[] };

describe('GET', () => {
  it('/health is 200 and empty', async () => {
    const response = await scripted('').server.inject('/health');
    expect([response.statusCode, response.body]).toEqual([200, '']);
  });

  it('/v1/models lists the one model by its served name', async () => {
    const { server } = scripted('');
    const card = { id: 'tiny', object: 'model', root: '/model', max_model_len: 64 };
    expect((await server.inject('/v1/models')).json()).toMatchObject({ object: 'list', data: [card] });
    expect((await server.inject('/v1/models/tiny')).json()).toMatchObject(card);
    expect((await server.inject('/v1/models/other')).statusCode).toBe(404);
  });
});

describe('POST /v1/completions', () => {
  it('answers text with text, in the shape of OpenAI', async () => {
    const { complete, calls } = scripted('不亦说乎？');
    const prompt = '子曰：学而时习之，';
    const response = await complete({ model: 'tiny', prompt, max_tokens: 40, temperature: 0.5, top_p: 0.9, seed: 3 });
    const answerTokens = (await tokenizer.encode('不亦说乎？')).length;
    const promptIds = [...(await tokenizer.encode(prompt))];
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual({
      id: expect.stringMatching(/^cmpl-/),
      object: 'text_completion',
      created: expect.any(Number),
      model: 'tiny',
      choices: [{ index: 0, text: '不亦说乎？', logprobs: null, finish_reason: 'stop' }],
      usage: {
        prompt_tokens: promptIds.length,
        completion_tokens: answerTokens,
        total_tokens: promptIds.length + answerTokens,
      },
    });
    expect(calls[0]?.prompt).toEqual(promptIds);
    expect(calls[0]?.options).toMatchObject({ maxTokens: 40, temperature: 0.5, topP: 0.9, seed: 3 });
  });

  it('draws another seed for every request that gives none', async () => {
    const { complete, calls } = scripted('a');
    await complete({ prompt: 'a' });
    await complete({ prompt: 'a' });
    expect(calls[0]?.options.seed).not.toBe(calls[1]?.options.seed);
  });

  it('takes ids as a prompt, and ends with "length" at max_tokens', async () => {
    const { complete, calls } = scripted('one two three four five');
    const { choices, usage } = (await complete({ prompt: [5, 6, 7], max_tokens: 2 })).json();
    expect(calls[0]?.prompt).toEqual([5, 6, 7]);
    expect(choices[0].finish_reason).toBe('length');
    expect(usage).toEqual({ prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 });
  });

  it('fills the context when max_tokens is null', async () => {
    const { complete, calls } = scripted('one');
    await complete({ prompt: [5, 6, 7], max_tokens: null });
    expect(calls[0]?.options.maxTokens).toBe(61);
  });

  it('leaves a stop string and all behind it out', async () => {
    const { complete } = scripted('The whale. The sea.');
    const { choices } = (await complete({ prompt: 'a', max_tokens: 40, stop: ['. T'] })).json();
    expect(choices[0]).toMatchObject({ text: 'The whale', finish_reason: 'stop' });
  });

  it('gives the log-probability of each token and where its text begins', async () => {
    const { complete } = scripted('The sea');
    const { choices } = (await complete({ prompt: 'a', max_tokens: 40, logprobs: 0 })).json();
    const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0].logprobs;
    expect(tokens.join('')).toBe('The sea');
    expect(token_logprobs).toEqual(tokens.map(() => -0.5));
    expect(top_logprobs[0]).toEqual({ [tokens[0]]: -0.5 });
    expect(text_offset[0]).toBe(0);
    expect(text_offset[1]).toBe(tokens[0].length);
  });

  it('streams the same text in events, whole characters only, and ends with [DONE]', async () => {
    const answer = '鲲之大，不知其几千里也 🐋';
    const { complete } = scripted(answer);
    const response = await complete({
      prompt: 'a',
      max_tokens: 60,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(response.headers['content-type']).toContain('text/event-stream');
    const all = events(response.body);
    expect(all.at(-1)).toBe('[DONE]');
    expect(all.at(-2)).toMatchObject({ choices: [], usage: { prompt_tokens: 1 } });
    const chunks = all.slice(0, -2) as Chunk[];
    expect(chunks.length).toBeGreaterThan(3);
    expect(chunks.map((chunk) => chunk.choices[0]?.text).join('')).toBe(answer);
    for (const chunk of chunks.slice(0, -1)) expect(chunk.choices[0]?.text).toMatch(/^[^\ufffd]+$/);
    const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason);
    expect(reasons).toEqual([...reasons.slice(1).map(() => null), 'stop']);
  });

  it('streams the log-probabilities and offsets that the whole answer has', async () => {
    const { complete } = scripted('The whale and the sea');
    const body = { prompt: 'a', max_tokens: 40, logprobs: 0 };
    const whole = (await complete(body)).json().choices[0].logprobs;
    const chunks = events((await complete({ ...body, stream: true })).body).slice(0, -1) as Chunk[];
    const offsets = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.text_offset ?? []);
    expect(offsets.length).toBeGreaterThan(3);
    expect(offsets).toEqual(whole.text_offset);
  });

  it('turns a failure in the middle of a stream into its last event', async () => {
    const { complete } = scripted('', {
      async *generate() {
        yield { token: 60, logprob: -1 };
        throw new Error('out of memory');
      },
    });
    const response = await complete({ prompt: 'a', stream: true });
    expect(events(response.body).at(-1)).toEqual({
      error: { message: 'out of memory', type: 'InternalServerError', param: null, code: 500 },
    });
  });

  it('stops generating when the client is gone', async () => {
    let aborted: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => {
      aborted = resolve;
    });
    const { server } = scripted('', {
      async *generate(_prompt, { signal }) {
        signal.addEventListener('abort', aborted);
        for (;;) {
          yield { token: 60, logprob: -1 };
          await new Promise((resolve) => setTimeout(resolve, 5));
          signal.throwIfAborted();
        }
      },
    });
    const address = await server.listen({ port: 0 });
    const client = new AbortController();
    const response = await fetch(`${address}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a', max_tokens: 60, stream: true }),
      signal: client.signal,
    });
    await response.body?.getReader().read();
    client.abort();
    await gone;
  });
});

describe('a refusal', () => {
  it.each([
    ['an id the model has not', { prompt: [1003] }, 'prompt', 'Token id 1003 is out of vocabulary; ids are below 1003'],
    ['a negative id', { prompt: [-1] }, 'prompt', 'Token id -1 is out of vocabulary'],
    ['too long a completion', { prompt: [5], max_tokens: 64 }, 'max_tokens', 'maximum context length is 64 tokens'],
    ['too long a prompt', { prompt: new Array(64).fill(5) }, 'prompt', '64 in the prompt'],
    ['a prompt that fills the context', { prompt: new Array(64).fill(5), max_tokens: null }, 'prompt', 'at least 1 in'],
    ['a wrong field', { prompt: 'a', temperature: 'hot' }, 'temperature', 'temperature must be in [0, 2]'],
  ])('of %s is 400 and names the field, streamed or not', async (_, body, param, message) => {
    for (const stream of [false, true]) {
      const response = await scripted('a').complete({ ...body, stream });
      expect(response.statusCode).toBe(400);
      expect(response.json().error).toMatchObject({ type: 'BadRequestError', param, code: 400 });
      expect(response.json().error.message).toContain(message);
    }
  });

  it.each([
    ['not JSON', '{"prompt":', 'application/json', 400],
    ['another media type', 'prompt=a', 'application/x-www-form-urlencoded', 415],
    ['too large', JSON.stringify({ prompt: 'a'.repeat(1 << 20) }), 'application/json', 413],
  ])('of a body that is %s has the same shape', async (_, payload, contentType, status) => {
    const { server } = scripted('a');
    const headers = { 'content-type': contentType };
    const response = await server.inject({ method: 'POST', url: '/v1/completions', payload, headers });
    expect(response.statusCode).toBe(status);
    expect(response.json().error).toMatchObject({ type: 'BadRequestError', param: 'body', code: status });
  });

  it('of an unknown path is 404 in the same shape', async () => {
    const { server } = scripted('a');
    const response = await server.inject({ method: 'POST', url: '/v1/embeddings', payload: {} });
    expect(response.statusCode).toBe(404);
    expect(response.json()).toEqual({
      error: {
        message: 'POST /v1/embeddings does not exist on this server',
        type: 'NotFoundError',
        param: null,
        code: 404,
      },
    });
  });

  it('of our own making is 500 without a stack', async () => {
    const { complete } = scripted('', {
      // biome-ignore lint/correctness/useYield: it fails before its first token
      async *generate() {
        throw new Error('out of memory');
      },
    });
    const response = await complete({ prompt: 'a' });
    expect(response.statusCode).toBe(500);
    expect(response.json()).toEqual({
      error: { message: 'out of memory', type: 'InternalServerError', param: null, code: 500 },
    });
  });
});

describe('POST /v1/completions with echo', () => {
  it('gives the prompt back with its log-probabilities, and generates nothing', async () => {
    const { complete, calls } = scripted('never');
    const body = { prompt: 'the cat sat', echo: true, max_tokens: 0, logprobs: 0 };
    const { choices, usage } = (await complete(body)).json();
    const ids = await tokenizer.encode('the cat sat');
    expect(choices[0]).toMatchObject({ text: 'the cat sat', finish_reason: 'length' });
    expect(choices[0].logprobs.token_logprobs).toEqual([null, ...Array.from(ids.slice(1), (_, at) => -1 - at)]);
    expect(usage).toEqual({ prompt_tokens: ids.length, completion_tokens: 0, total_tokens: ids.length });
    expect(calls).toEqual([]);
  });
});

describe('POST /v1/chat/completions', () => {
  const messages = [
    { role: 'system', content: 'Be short.' },
    { role: 'user', content: 'Hello' },
  ];
  const chat = (server: FastifyInstance, body: object) =>
    server.inject({ method: 'POST', url: '/v1/chat/completions', payload: body });

  it('answers a chat in ChatML, up to the end of the turn', async () => {
    const { server, calls } = scripted('Hi!<|im_end|>\nmore');
    const response = await chat(server, { messages, max_completion_tokens: 32, temperature: 0 });
    expect(response.json()).toMatchObject({
      ...{ object: 'chat.completion', model: 'tiny' },
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hi!' }, finish_reason: 'stop' }],
    });
    const prompt =
      '<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n';
    expect(calls[0]?.prompt).toEqual([...(await tokenizer.encode(prompt))]);
    expect(calls[0]?.options.maxTokens).toBe(32);
  });

  it('streams it as chunks', async () => {
    const { server } = scripted('Hi there');
    const { payload } = await chat(server, { messages, max_tokens: 32, stream: true });
    const chunks = events(payload) as { object: string; choices: { delta: { role?: string; content?: string } }[] }[];
    expect(chunks[0]).toMatchObject({ object: 'chat.completion.chunk', choices: [{ delta: { role: 'assistant' } }] });
    const text = chunks.slice(0, -1).map((chunk) => chunk.choices[0]?.delta.content ?? '');
    expect(text.join('')).toBe('Hi there');
    expect(chunks.at(-1)).toBe('[DONE]');
  });

  it.each([
    ['no message', {}, 'messages'],
    ['a foreign role', { messages: [{ role: 'tool', content: 'x' }] }, 'messages'],
    ['parts for content', { messages: [{ role: 'user', content: [] }] }, 'messages'],
    ['tools', { messages, tools: [] }, 'tools'],
    ['log-probabilities', { messages, logprobs: true }, 'logprobs'],
  ])('refuses %s', async (_, body, param) => {
    const response = await chat(scripted('x').server, body);
    expect([response.statusCode, response.json().error.param]).toEqual([400, param]);
  });
});

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { manualClock } from '../test/scripted-pai.ts';
import { runGate } from './prompt-gate.ts';
import { parseGoldenPrompts } from './prompt-gate-prompts.ts';
import { serviceEndpoint } from './service-gateway.ts';

const TOKEN = 'canary-token-MzJiMDVj';

let server: Server;
let url: string;
let asked: { path: string; body: Record<string, unknown> | undefined }[];
/** The answer to a POST. */
let answer: (body: Record<string, unknown>) => [status: number, body: unknown];
beforeEach(async () => {
  asked = [];
  server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = text === '' ? undefined : JSON.parse(text);
    asked.push({ path: request.url ?? '', body });
    const [status, json] = body ? answer(body) : [200, { data: [{ id: 'qwen2-cpt' }] }];
    response.writeHead(status).end(JSON.stringify(json));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
});

const gate = (lines: string, reference?: string) =>
  runGate(parseGoldenPrompts(lines, 'golden.jsonl'), {
    ...{ endpoint: serviceEndpoint(url, TOKEN), timeoutMs: 5000, clock: manualClock() },
    reference: reference === undefined ? undefined : serviceEndpoint(reference, TOKEN),
  });

describe('runGate', () => {
  it('asks prompts and chats, always for the likeliest answer, and the model only once', async () => {
    answer = ({ messages }) => [
      200,
      { choices: [messages ? { message: { content: 'Hi!' }, finish_reason: 'stop' } : { text: ' Beijing' }] },
    ];
    const report = await gate(`{"id":"a","prompt":"The capital of China is","maxTokens":4,"contains":["Beijing"]}
{"id":"b","messages":[{"role":"user","content":"Hello"}],"ends":true,"matches":"^Hi"}`);
    expect(report).toMatchObject({ ok: true, prompts: 2, failed: 0, unanswered: 0 });
    expect(report.results.map((result) => result.answer)).toEqual([' Beijing', 'Hi!']);
    const likeliest = { temperature: 0, seed: 0, model: 'qwen2-cpt' };
    expect(asked).toEqual([
      { path: '/v1/models', body: undefined },
      { path: '/v1/completions', body: { ...likeliest, prompt: 'The capital of China is', max_tokens: 4 } },
      {
        path: '/v1/chat/completions',
        body: { ...likeliest, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 64 },
      },
    ]);
  });

  it('scores a text by what vLLM gives for echo', async () => {
    const logprobs = { token_logprobs: [null, Math.log(0.5), Math.log(0.125)] };
    answer = () => [200, { choices: [{ text: 'a b c', logprobs }] }];
    const report = await gate(
      '{"id":"low","text":"a b c","maxPerplexity":3.9}\n{"id":"high","text":"a b c","maxPerplexity":4.1}',
    );
    expect(report.results.map(({ ok, faults }) => [ok, ...faults])).toEqual([
      [false, 'has a perplexity of 4.000, above 3.9'],
      [true],
    ]);
    expect(asked[1]?.body).toMatchObject({ prompt: 'a b c', echo: true, logprobs: 0, max_tokens: 0 });
  });

  it.each<[string, string, () => [number, unknown], RegExp]>([
    [
      'an outage',
      '{"prompt":"a"}',
      () => [503, { message: TOKEN }],
      /^no answer: .* answered 503: .*\[CPT_PAI_UNAVAILABLE\]$/,
    ],
    ['a refusal', '{"prompt":"a"}', () => [400, { message: 'too long' }], /too long.*\[CPT_PAI_REJECTED\]/],
    ['no choice', '{"prompt":"a"}', () => [200, { choices: [] }], /holds no choice/],
    [
      'a chat without content',
      '{"messages":[{"role":"user","content":"a"}]}',
      () => [200, { choices: [{ message: {} }] }],
      /no choice/,
    ],
    [
      'no log-probabilities',
      '{"text":"a","maxPerplexity":2}',
      () => [200, { choices: [{ logprobs: null }] }],
      /gives no log-prob/,
    ],
  ])('counts %s as unanswered, without the token', async (_, line, respond, fault) => {
    answer = respond;
    const report = await gate(line);
    expect(report).toMatchObject({ ok: false, failed: 1, unanswered: 1 });
    expect(report.results[0]?.faults).toEqual([expect.stringMatching(fault)]);
    expect(JSON.stringify(report)).not.toContain(TOKEN);
  });

  it('finds a ratio wrong without a reference', async () => {
    answer = () => [200, { choices: [{ logprobs: { token_logprobs: [null, -1] } }] }];
    const line = '{"text":"a b","maxPerplexityRatio":1.1}';
    expect((await gate(line)).results[0]?.faults).toEqual([
      'is to be held against a reference service, and there is none',
    ]);
    expect((await gate(line, url)).ok).toBe(true);
  });
});

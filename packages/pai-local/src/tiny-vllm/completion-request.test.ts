import { describe, expect, it } from 'vitest';
import { parseCompletionRequest } from './completion-request.ts';
import { OpenAiError } from './openai-error.ts';

function refusal(body: unknown): Pick<OpenAiError, 'status' | 'type' | 'param' | 'message'> {
  try {
    parseCompletionRequest(body, 'tiny');
  } catch (error) {
    if (error instanceof OpenAiError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('parseCompletionRequest', () => {
  it("has OpenAI's defaults", () => {
    expect(parseCompletionRequest({ prompt: 'a' }, 'tiny')).toEqual({
      prompt: 'a',
      maxTokens: 16,
      temperature: 1,
      topP: 1,
      seed: undefined,
      stop: [],
      hasLogprobs: false,
      isScoring: false,
      isStream: false,
      hasStreamUsage: false,
    });
  });

  it('reads every field, and ignores those it does not know', () => {
    const body = {
      model: 'tiny',
      prompt: [1, 2],
      max_tokens: 5,
      temperature: 0,
      top_p: 0.5,
      seed: 7,
      stop: '\n',
      logprobs: 1,
      stream: true,
      stream_options: { include_usage: true },
      n: 1,
      frequency_penalty: 0,
      user: 'someone',
    };
    expect(parseCompletionRequest(body, 'tiny')).toEqual({
      prompt: [1, 2],
      maxTokens: 5,
      temperature: 0,
      topP: 0.5,
      seed: 7,
      stop: ['\n'],
      hasLogprobs: true,
      isScoring: false,
      isStream: true,
      hasStreamUsage: true,
    });
  });

  it('takes null for "not given", but for max_tokens, where it lifts the limit', () => {
    const nothing = { max_tokens: null, temperature: null, top_p: null, seed: null, stop: null, logprobs: null };
    const request = parseCompletionRequest({ prompt: 'a', suffix: null, ...nothing }, 'tiny');
    expect(request).toMatchObject({ maxTokens: undefined, temperature: 1, topP: 1, stop: [], hasLogprobs: false });
  });

  it('gives the chosen token for logprobs 0 at any temperature', () => {
    expect(parseCompletionRequest({ prompt: 'a', logprobs: 0, temperature: 1 }, 'tiny').hasLogprobs).toBe(true);
  });

  it.each([
    ['body', null],
    ['body', ['a']],
    ['prompt', {}],
    ['prompt', { prompt: '' }],
    ['prompt', { prompt: [] }],
    ['prompt', { prompt: ['a', 'b'] }],
    ['prompt', { prompt: [1.5] }],
    ['max_tokens', { prompt: 'a', max_tokens: 0 }],
    ['max_tokens', { prompt: 'a', max_tokens: '5' }],
    ['temperature', { prompt: 'a', temperature: -1 }],
    ['temperature', { prompt: 'a', temperature: 2.1 }],
    ['top_p', { prompt: 'a', top_p: 0 }],
    ['top_p', { prompt: 'a', top_p: 1.1 }],
    ['seed', { prompt: 'a', seed: 1.5 }],
    ['stop', { prompt: 'a', stop: [''] }],
    ['stop', { prompt: 'a', stop: 5 }],
    ['logprobs', { prompt: 'a', logprobs: -1 }],
    ['logprobs', { prompt: 'a', logprobs: 1, temperature: 1 }],
    ['logprobs', { prompt: 'a', logprobs: 2, temperature: 0 }],
    ['stream', { prompt: 'a', stream: 'yes' }],
    ['stream_options', { prompt: 'a', stream_options: { include_usage: true } }],
    ['stream_options', { prompt: 'a', stream: true, stream_options: 1 }],
    ['stream_options.include_usage', { prompt: 'a', stream: true, stream_options: { include_usage: 1 } }],
    ['n', { prompt: 'a', n: 2 }],
    ['frequency_penalty', { prompt: 'a', frequency_penalty: 0.5 }],
    ['logit_bias', { prompt: 'a', logit_bias: { 5: 1 } }],
    ['echo', { prompt: 'a', echo: true }],
    ['model', { prompt: 'a', model: 5 }],
  ])('refuses a wrong %s, naming the field', (param, body) => {
    expect(refusal(body)).toMatchObject({ status: 400, type: 'BadRequestError', param });
  });

  it('answers 404 for another model and says which there is', () => {
    const { status, type, param, message } = refusal({ prompt: 'a', model: 'gpt-4' });
    expect({ status, type, param }).toEqual({ status: 404, type: 'NotFoundError', param: 'model' });
    expect(message).toBe('The model `gpt-4` does not exist. This server has `tiny`.');
  });
});

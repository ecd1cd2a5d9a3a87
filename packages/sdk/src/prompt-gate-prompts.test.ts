import { describe, expect, it } from 'vitest';
import { parseGoldenPrompts } from './prompt-gate-prompts.ts';

const parse = (...lines: string[]) => parseGoldenPrompts(lines.join('\n'), 'golden.jsonl');

describe('parseGoldenPrompts', () => {
  it('reads one prompt each line', () => {
    const prompts = parse(
      '# greetings',
      '{"id":"capital","prompt":"The capital of China is","maxTokens":4,"contains":["Beijing"]}',
      '',
      '{"messages":[{"role":"user","content":"Hello"}],"ends":true}',
      '{"text":"Hangzhou lies at the West Lake.","maxPerplexityRatio":1.1}',
    );
    expect(prompts).toEqual([
      { id: 'capital', prompt: 'The capital of China is', maxTokens: 4, contains: ['Beijing'] },
      { id: 'line 4', messages: [{ role: 'user', content: 'Hello' }], ends: true, maxTokens: 64 },
      { id: 'line 5', text: 'Hangzhou lies at the West Lake.', maxPerplexityRatio: 1.1, maxTokens: 64 },
    ]);
  });

  it.each([
    ['nothing', '# none', 'golden.jsonl: holds no prompt'],
    ['no JSON', '{"prompt":', 'golden.jsonl, line 1: not JSON'],
    ['nothing asked', '{"contains":["a"]}', 'line 1: the value needs one of prompt, messages and text'],
    ['two things asked', '{"prompt":"a","text":"b","maxPerplexity":2}', 'and only one'],
    ['a text without a limit', '{"text":"a"}', '/text needs maxPerplexity'],
    ['an answer of a text', '{"text":"a","maxPerplexity":2,"contains":["a"]}', '/contains is of an answer'],
    ['a perplexity of an answer', '{"prompt":"a","maxPerplexity":2}', 'has a perplexity, which is of a text'],
    ['a broken pattern', '{"prompt":"a","matches":"("}', '/matches is no regular expression'],
    ['a misspelt field', '{"prompt":"a","contain":["b"]}', 'did you mean "contains"'],
    ['an empty expectation', '{"prompt":"a","contains":[]}', '/contains'],
    ['an id twice', '{"id":"a","prompt":"a"}\n{"id":"a","prompt":"b"}', 'line 2: the id "a" was used before'],
  ])('refuses %s', (_, text, message) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: 'CPT_INPUT_INVALID', message: expect.stringContaining(message) }),
    );
  });
});

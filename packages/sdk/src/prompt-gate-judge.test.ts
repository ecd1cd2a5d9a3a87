import { describe, expect, it } from 'vitest';
import { judgeAnswer, perplexityOf, similarity } from './prompt-gate-judge.ts';

const CITY = {
  type: 'object',
  required: ['city'],
  properties: { city: { type: 'string' }, size: { type: 'integer' } },
};
const golden = (expectation: object) => ({ id: 'a', prompt: 'x', maxTokens: 8, ...expectation });

describe('judgeAnswer', () => {
  it.each<[string, object, string, string[]]>([
    ['all texts', { contains: ['a', 'b'] }, 'ab', []],
    ['a missing text', { contains: ['a', 'c'] }, 'ab', ['does not hold "c"']],
    ['a forbidden text', { excludes: ['c', 'b'] }, 'ab', ['holds "b"']],
    ['a pattern over lines', { matches: '^a.*b$' }, 'a\nb', []],
    ['no match', { matches: '^b' }, 'ab', ['does not match /^b/su']],
    ['JSON of the schema', { jsonSchema: CITY }, ' {"city":"Hangzhou","size":12} ', []],
    ['no JSON', { jsonSchema: CITY }, 'Hangzhou', ['is not JSON']],
    ['nothing', {}, ' \n', ['the answer is empty']],
  ])('%s', (_, expectation, text, faults) => {
    expect(judgeAnswer(golden(expectation), { text, finishReason: 'stop' })).toEqual(faults);
  });

  it('names what is wrong in JSON', () => {
    const faults = judgeAnswer(golden({ jsonSchema: CITY }), { text: '{"city":"H","size":1.5}' });
    expect(faults).toEqual([expect.stringMatching(/^is not of the JSON Schema: \/size .*integer/)]);
    expect(judgeAnswer(golden({ jsonSchema: CITY }), { text: '{"size":1}' })).toHaveLength(1);
  });

  it('tells an answer that ended from one that was cut off', () => {
    expect(judgeAnswer(golden({ ends: true }), { text: 'a', finishReason: 'stop' })).toEqual([]);
    expect(judgeAnswer(golden({ ends: true }), { text: 'a', finishReason: 'length' })).toEqual([
      'was cut off after 8 tokens',
    ]);
  });

  it('measures similarity', () => {
    const similarTo = { text: 'night', atLeast: 0.4 };
    // nig igh ght against nac ach cht, then nigh against night: 2 of 3 and 2 trigrams.
    expect(judgeAnswer(golden({ similarTo }), { text: 'nacht' })).toEqual(['has a similarity of 0.000, 0.4 is needed']);
    expect(judgeAnswer(golden({ similarTo }), { text: 'nigh' })).toEqual([]);
  });
});

describe('similarity', () => {
  it.each([
    ['night', 'nigh', 0.8], // 2 × 2 / (3 + 2)
    ['aaaa', 'aaa', 2 / 3], // repetitions count: 2 × 1 / (2 + 1)
    ['Die  Stadt\n', 'die stadt', 1],
    ['人民大会堂', '人民大会', 0.8],
    ['ab', 'ab', 1],
    ['ab', 'abc', 0],
  ])('of %j and %j', (a, b, expected) => {
    expect(similarity(a, b)).toBeCloseTo(expected, 12);
    expect(similarity(b, a)).toBeCloseTo(expected, 12);
  });
});

describe('perplexityOf', () => {
  it('is the inverse of the geometric mean of the probabilities', () => {
    expect(perplexityOf([null, Math.log(0.5), Math.log(0.125)])).toBeCloseTo(4, 12);
    expect(perplexityOf([Math.log(0.25)])).toBeCloseTo(4, 12);
  });

  it.each([[[]], [[null]], [[null, 'x']], [[-1, null]]])('is unknown of %j', (logprobs) => {
    expect(perplexityOf(logprobs)).toBeUndefined();
  });
});

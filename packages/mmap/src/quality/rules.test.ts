import { expect, test } from 'vitest';
import { judgeQuality } from './judge-quality.ts';
import { QUALITY_RULES, selectRules } from './rules.ts';

const times = (count: number, text: string) => Array.from({ length: count }, () => text);
const lines = (...parts: (string | string[])[]) => parts.flat().join('\n');
/** `count` different tokens, none of which is in any other text here. */
const different = (count: number) => Array.from({ length: count }, (_, i) => `q${i}`);
/** `n` words, a filler, the same words again, a filler, `length` characters in all; `used` is what the words and spaces take. */
const twice = (words: string, length: number) => {
  const left = length - 2 * words.length - 3;
  return `${words} ${'X'.repeat(left - 1)} ${words} Y`;
};
const letters = (n: number) => 'abcdefghij'.slice(0, n).split('').join(' ');

/** A text at the limit, which passes, and one just beyond it, with the number that the rule gives for it. */
const BORDERS: [rule: string, passes: string, fails: string, value: number][] = [
  ['gopher-words', times(50, 'one').join(' '), `${times(49, 'one').join(' ')} — !`, 49],
  ['gopher-words', times(100_000, 'a').join(' '), times(100_001, 'a').join(' '), 100_001],
  ['gopher-words', '字'.repeat(50), `${'字'.repeat(49)}。。`, 49],
  ['gopher-word-length', '(abc) abc.', '(abc) ab...', 2.5],
  ['gopher-word-length', 'abcdefghij', 'abcdefghijk', 11],
  ['gopher-hash-signs', 'a b c d e f g h i #', 'a b c d e f g h #', 1 / 9],
  ['gopher-hash-signs', '一二三四五六七八九#', '一二三四五六七八#', 1 / 9],
  ['gopher-ellipses', 'a... b c d e f g h i j', 'a…… b c d e f g h i', 1 / 9],
  ['gopher-bullet-lines', lines(times(9, '- a'), 'a'), lines(times(10, '  • a')), 1],
  [
    'gopher-ellipsis-lines',
    lines(times(3, 'a...'), times(7, 'a')),
    lines(times(2, 'a...'), times(2, 'a… '), times(6, 'a')),
    0.4,
  ],
  ['gopher-letter-words', 'a b2 c d 1', 'a b c 1', 0.75],
  ['gopher-stop-words', 'The whale, “and” more', 'the the theory', 1],

  ['repetition-lines', lines(different(7), times(3, 'q0')), lines(different(6), '', times(4, ' q0 ')), 0.4],
  ['repetition-line-characters', 'ab\nab\ncccc', 'ab\nab\nccc', 2 / 9],
  [
    'repetition-paragraphs',
    [...different(7), ...times(3, 'q0')].join('\n\n'),
    [...different(6), ...times(4, 'q0')].join('\n \n'),
    0.4,
  ],
  ['repetition-paragraph-characters', 'ab\n\nab\n\ncc', 'ab\n\nab\n\nc', 2 / 9],
  ['repetition-top-2-gram', twice('a b', 30), twice('a b', 29), 6 / 29],
  ['repetition-top-3-gram', twice('a b c', 56), twice('a b c', 55), 10 / 55],
  ['repetition-top-4-gram', twice('a b c d', 88), twice('a b c d', 87), 14 / 87],
  ['repetition-5-grams', twice(letters(5), 34), twice(letters(5), 33), 5 / 33],
  ['repetition-6-grams', twice(letters(6), 43), twice(letters(6), 42), 6 / 42],
  ['repetition-7-grams', twice(letters(7), 54), twice(letters(7), 53), 7 / 53],
  ['repetition-8-grams', twice(letters(8), 67), twice(letters(8), 66), 8 / 66],
  ['repetition-9-grams', twice(letters(9), 82), twice(letters(9), 81), 9 / 81],
  ['repetition-10-grams', twice(letters(10), 100), twice(letters(10), 99), 10 / 99],
  // Ten characters of unspaced text are five words.
  ['repetition-5-grams', '甲乙丙丁戊己庚辛壬子甲乙丙丁戊己庚辛壬癸', '甲乙丙丁戊己庚辛壬癸甲乙丙丁戊己庚辛壬癸', 0.5],
  ['repetition-top-2-gram', '甲乙丙子甲乙丙丑', '甲乙丙丁甲乙丙丁', 1],

  [
    'c4-sentences',
    lines(times(5, 'It was so.')),
    lines(times(4, 'It was so.'), 'It was so', 'Was so.', 'It was so...'),
    4,
  ],
  ['c4-sentences', '是的。好吧！对吗？来了。走。', '是的。好吧！对吗？来了。走', 0],
  ['c4-curly-brackets', 'a [b] }', 'a { b', 1],
  ['c4-lorem-ipsum', 'Lorem and ipsum', 'Lorem Ipsum', 1],
  [
    'c4-boilerplate-lines',
    lines(times(9, 'a'), 'Enable JavaScript'),
    lines(times(8, 'a'), 'Privacy Policy', 'we use cookies'),
    0.2,
  ],
  ['c4-word-length', 'x'.repeat(1000), `a ${'x'.repeat(1001)}!`, 1001],

  ['fineweb-terminal-lines', lines(times(12, 'a.”'), times(88, 'a')), lines(times(11, 'a？'), times(89, 'a')), 0.11],
  [
    'fineweb-short-lines',
    lines(times(67, 'x'.repeat(30)), times(33, 'x'.repeat(31))),
    lines(times(68, 'x'.repeat(30)), times(32, 'x'.repeat(31))),
    0.68,
  ],
  [
    'fineweb-short-lines',
    lines(times(67, '字'.repeat(10)), times(33, '字'.repeat(11))),
    lines(times(68, '字'.repeat(10)), times(32, '字'.repeat(11))),
    0.68,
  ],
  ['fineweb-repeated-characters', `a\na\n${'b'.repeat(98)}`, `a\na\n${'b'.repeat(97)}`, 1 / 99],
  ['fineweb-newlines', 'a b c\nd e f\ng h i\nj', 'a b c\nd e f\ng h i\nj\n', 0.4],

  ['replacement-characters', `\ufffd${'a'.repeat(999)}`, `\ufffd${'a'.repeat(998)}`, 1 / 999],
  ['control-characters', `\u0000\t\n\r\f${'a'.repeat(995)}`, `\u0085\u0086${'a'.repeat(997)}`, 1 / 999],
  ['mojibake', `Ã©${'a'.repeat(498)}`, `â€™${'a'.repeat(496)}`, 1 / 499],
  ['byte-order-marks', 'a', 'a\ufeffb', 1],
  ['long-lines', `${'a'.repeat(20_000)}\nb`, 'a'.repeat(20_001), 20_001],
];

test.each(BORDERS)('%s passes at its limit and fails beyond it', (rule, passes, fails, value) => {
  const rules = selectRules([rule]);
  expect(judgeQuality(passes, rules)).toEqual([]);
  const [failure] = judgeQuality(fails, rules);
  expect(failure).toMatchObject({ rule });
  expect(failure?.value).toBeCloseTo(value, 12);
});

test('every rule has a text on both sides of its limit', () => {
  expect(new Set(BORDERS.map(([rule]) => rule))).toEqual(new Set(QUALITY_RULES.map(({ name }) => name)));
});

test('rules about words between spaces are not asked of Chinese', () => {
  const chinese = '关关雎鸠，在河之洲。窈窕淑女，君子好逑。'.repeat(3);
  const names = ['gopher-word-length', 'gopher-letter-words', 'gopher-stop-words', 'c4-word-length'];
  expect(judgeQuality(chinese, selectRules(names))).toEqual([]);
  expect(judgeQuality('w', selectRules(names)).map(({ rule }) => rule)).toEqual([
    'gopher-word-length',
    'gopher-stop-words',
  ]);
});

test.each([
  ['Korean, whose words are two or three syllables', '인공 지능은 우리의 삶을 바꾸고 있다 그리고 데이터도 중요', []],
  ['Russian', 'Искусственный интеллект меняет нашу повседневную жизнь каждый день', []],
  [
    'German, in the letters of English',
    'Künstliche Intelligenz verändert unser tägliches Leben',
    ['gopher-stop-words'],
  ],
  ['Korean with a few Latin words', '인공 지능 모델 GPT 그리고 데이터는 매우 중요하다', []],
])('rules made for English words leave %s alone, or not', (_, text, failed) => {
  const rules = selectRules(['gopher-word-length', 'gopher-stop-words']);
  expect(judgeQuality(text, rules).map(({ rule }) => rule)).toEqual(failed);
});

test('a text of a few words does not repeat itself', () => {
  expect(judgeQuality('the white whale', selectRules(['repetition']))).toEqual([]);
});

test('without a line or a word the rules about shares have nothing to say', () => {
  expect(judgeQuality('').map(({ rule }) => rule)).toEqual(['gopher-words', 'gopher-stop-words', 'c4-sentences']);
});

test('a reason names the number and the limit', () => {
  const reasons = (text: string, rule: string) => judgeQuality(text, selectRules([rule])).map(({ reason }) => reason);
  expect(reasons('only three words', 'gopher-words')).toEqual(['3 words, less than 50']);
  expect(reasons('- a\n- b', 'gopher-bullet-lines')).toEqual(['100% of the lines begin with a bullet, more than 90%']);
  expect(reasons('a # b # c', 'gopher-hash-signs')).toEqual(['0.4 # per word, more than 0.1']);
});

test('rules are chosen by name, by group and by leaving out', () => {
  const names = (...wanted: string[]) => selectRules(wanted).map(({ name }) => name);
  const all = QUALITY_RULES.map(({ name }) => name);
  expect(names()).toEqual(all);
  expect(names('all')).toEqual(all);
  expect(names('fineweb', 'gopher-words')).toEqual([
    'gopher-words',
    ...all.filter((name) => name.startsWith('fineweb-')),
  ]);
  expect(names('-gopher-stop-words')).toEqual(all.filter((name) => name !== 'gopher-stop-words'));
  expect(names('c4', '-c4-sentences')).toEqual(all.filter((name) => name.startsWith('c4-') && name !== 'c4-sentences'));
  expect(() => names('gofer')).toThrow(
    'no quality rule is named "gofer"; use all, gopher, repetition, c4, fineweb, characters, gopher-words,',
  );
  expect(() => names('c4', '-all')).toThrow('no quality rule is left');
});

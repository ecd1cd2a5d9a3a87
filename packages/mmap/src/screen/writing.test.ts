import { expect, test } from 'vitest';
import { writingOf } from './writing.ts';

test.each([
  ['plain English', 'spaced'],
  ['Русский текст, نص عربي, हिन्दी पाठ, 한국어 문장', 'spaced'],
  ['今天天气很好', 'unspaced'],
  ['コンピューター', 'unspaced'],
  ['ひらがな ㄅㄆㄇ', 'unspaced'],
  ['สวัสดีครับ', 'unspaced'],
  ['ສະບາຍດີ', 'unspaced'],
  ['សួស្តី', 'unspaced'],
  ['မင်္ဂလာပါ', 'unspaced'],
  ['བཀྲ་ཤིས', 'unspaced'],
  ['𠀀𠀁𠀂', 'unspaced'],
  ['', 'spaced'],
  ['123 … 。！', 'spaced'],
  // 3 of 10 letters, 3 of 11.
  ['abcdefg 天天天', 'unspaced'],
  ['abcdefgh 天天天', 'spaced'],
])('%j is %s', (text, writing) => {
  expect(writingOf(text)).toBe(writing);
});

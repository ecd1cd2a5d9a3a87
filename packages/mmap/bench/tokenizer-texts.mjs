/** Texts that find differences between tokenizers: used by the tests here and by the long comparison in conformance/. */

const RANGES = [
  [0x20, 0x7f],
  [0x20, 0x7f],
  [0x41, 0x7b],
  [0x30, 0x3a],
  [0, 0x20],
  [0x80, 0x300],
  [0x300, 0x370],
  [0x370, 0x530],
  [0x590, 0x700],
  [0x900, 0xe00],
  [0xe00, 0xf00],
  [0x1100, 0x1200],
  [0x1e00, 0x2000],
  [0x2000, 0x2100],
  [0x2100, 0x2500],
  [0x3000, 0x3100],
  [0x4e00, 0x5200],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a4],
  [0xf900, 0xfb00],
  [0xfe00, 0x10000],
  [0x1f300, 0x1f700],
  [0x1d400, 0x1d800],
  [0x20000, 0x20100],
  [0, 0xd800],
  [0xe000, 0x30000],
  [0x10000, 0x11400],
];
const FRAGMENTS = [
  "'s",
  "'S",
  "'t",
  "'re",
  "'RE",
  "'ve",
  "'m",
  "'ll",
  "'lL",
  "'d",
  "'\u017f",
  "'l",
  "'r",
  "''",
  '\u2019s',
  ' ',
  '  ',
  '   ',
  '\t',
  '\n',
  '\r\n',
  '\n\n',
  ' \n',
  '\u00a0',
  '\u3000',
  '\u0085',
  '\ufeff',
  '\u200d',
  '\u{1f468}\u200d\u{1f469}',
  '\u{1f44d}\u{1f3fd}',
  'e\u0301',
  '\u0301',
  '\u1112\u1161\u11ab',
  '123',
  '12345',
  '\u0663',
  '\u00bd',
  '<|endoftext|>',
  '<|im_start|>',
  '<think>',
  '</think>',
  '<|begin_of_text|>',
  '<|',
  '<',
  'the',
  ' the',
  'Hello',
  ' World',
  '\u4f60\u597d',
  '\uff0c',
  '\u4e16\u754c',
  '\u3053\u3093',
  '\u30c7\u30fc',
  '\uc548\ub155',
  '...',
  '!!!',
  ' --',
  '__init__',
  '\\n',
  'a'.repeat(70),
  '='.repeat(20),
  '\u0f73',
  '\u0344',
  '\u2126',
  '\u212b',
  '\ufb1d',
  ' vi\u1ec7c',
  ' \u0111i\u1ec1u',
];

/** A generator of whole numbers below `limit`, equal for equal seeds. */
export function createRandom(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % limit;
  };
}

/** Seeded strings of mixed scripts, fragments, and runs of one script. */
export function* fuzzTexts(count, seed) {
  const random = createRandom(seed);
  const from = ([low, high]) => {
    const codePoint = low + random(high - low);
    return String.fromCodePoint(codePoint >= 0xd800 && codePoint < 0xe000 ? 0x3042 : codePoint);
  };
  const range = () => RANGES[random(RANGES.length)];
  const fragment = () => FRAGMENTS[random(FRAGMENTS.length)];
  for (let i = 0; i < count; i++) {
    const length = 1 + random(60);
    const kind = random(4);
    const own = range();
    let text = '';
    for (let j = 0; j < length; j++) {
      if (kind === 0) text += from(range());
      else if (kind === 1) text += fragment();
      else if (kind === 2) text += random(2) ? from(range()) : fragment();
      else text += random(5) ? from(own) : fragment();
    }
    yield text;
  }
}

/** Words of one repeated piece, of given lengths in pieces. */
export function* longWords(lengths) {
  const pieces = [
    'a',
    '=',
    '的',
    'ab',
    'あ',
    'é',
    'xyz1',
    'ß',
    ' ',
    '\n',
    '👍',
    '안',
    '한국어',
    '中文字符',
    'qwertyuiop',
    '\u0e01\u0e33',
  ];
  for (const piece of pieces) for (const length of lengths) yield piece.repeat(length);
}

/** A code point where letters, digits, symbols, spaces and marks meet it, so that its class shows. */
export function codePointText(codePoint) {
  const char = String.fromCodePoint(codePoint);
  return `${char}'re\n1${char}'re\nx${char}1 ${char}\u0301a\n`;
}

import type { Batch } from '../documents/batch.ts';
import type { EncodeBatch } from './encode-batch.ts';

/**
 * What texts hold, the seldom too. The engine compiles the code it sees run, for the branches it has seen, and gives all of it up at
 * the first new one: text by text a thread would compile the scanner ten times, half a second of processor time.
 */
const SPECIMENS = [
  "It's what we'll do, isn't it? They've 12 of 345, I'm sure; YOU'RE not 'so'. The \"quoted\" one costs $3.50 (or 4\u00a0€)!\n\n",
  'for (let i = 0; i < 10; i++) {\r\n\tif (a[i] === "x") return -1; // ...\r\n}\n    \n\n  <p class="b">&amp;</p>   ',
  'Übergröße naïve Ёлка привет مرحبا ١٢٣ ٤ Ⅳ ½ שלום — “Zitat” … ¿qué? «д»\n',
  '\u4e2d\u6587\u6587\u672c\uff0c\u6ca1\u6709\u7a7a\u683c\u3002\u7b2c12\u7ae0\u3000\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3068English\u3002\ud55c\uad6d\uc5b4 -\u4e2d \uff11\uff12\n',
  "\u{1f600}\u{1f44d}\u{1f3fd} \u{20000}\u{10400}a \u{1d7ce} x\u{1f600}\u{2028}\u{a0}\u{a0}y \u{17f}'\u{17f} \ufeff\u200b",
  'e\u0301 a\u0323\u0307 q\u0307\u0323 \u1112\u1161\u11ab \u1100\u1161 \u212b \u0958 \uf900 \u{2f800} A\u030a1\u0301 \u0301',
  `${'='.repeat(100)}${' '.repeat(90)}\n${'internationalisation'.repeat(6)} abcdefghijklmnopqrst_uvw 0x1F ${'\n'.repeat(20)}`,
];
const ROUNDS = 30;

/** Lines with these texts: in other keys and values what such lines may have besides. */
function lines(textKey: string): Uint8Array {
  const others = { id: -1.5e3, tags: ['a', { b: null }, true, []], 'a"key': 'with \\ and \u0001', empty: {} };
  const documents = SPECIMENS.flatMap((text) => [{ [textKey]: text }, { url: 'a/b', [textKey]: text, score: 0.5 }]);
  const all = [...documents, { ...others, [textKey]: 'caf\u00e9' }].map((document) => JSON.stringify(document));
  all.push(`{${JSON.stringify(textKey)}: "\\u4e2d\\ud83d\\ude00\\/\\b\\f\\u00e9" }`);
  return Buffer.from(`${all.join('\n')}\n`.repeat(ROUNDS));
}

/** Lets an encoder meet all kinds of text before any that counts. */
export async function warmUp(encode: EncodeBatch, textKey: string): Promise<void> {
  await encode(warmUpBatch(textKey));
}

export function warmUpBatch(textKey: string): Batch {
  return {
    kind: 'batch',
    layout: 'lines',
    content: 'json',
    bytes: lines(textKey),
    byteOffset: 0,
    isFirst: false,
    unit: 'line',
  };
}

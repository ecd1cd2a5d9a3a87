/**
 * Reading: sequences in random order and in the order of the file, and opening a large index; beside plain `readSync`, and beside
 * Megatron's own IndexedDataset (numpy.memmap) on the same files where megatron-core is at hand.
 *
 *   node packages/mmap/bench/read-bench.mjs [sequences of the large index, 50e6] [folder for scratch files]
 *   PYTHONPATH=FOLDER_WITH_MEGATRON_CORE node packages/mmap/bench/read-bench.mjs          # pip install --target, it needs torch
 *
 * Run `npm run build` before. All files are in the page cache: what is measured is processor time, not a disk.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeRun, median, saveResult } from '../../../benchmarks/report.mjs';
import { createDatasetWriter, openDataset } from '../dist/index.js';
import { serializeIndex } from '../dist/index-format.js';

if (process.argv[2] === '--open') {
  const before = process.memoryUsage.rss();
  const start = performance.now();
  const cpu = process.cpuUsage();
  const dataset = await openDataset(process.argv[3]);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - start) / 1000;
  const { lengths, pointers, documentIndex } = dataset;
  const held = lengths.byteLength + pointers.byteLength + documentIndex.byteLength;
  const peak = process.resourceUsage().maxRSS * 1024 - before;
  console.log(JSON.stringify({ seconds, cpu: (user + system) / 1e6, held, peak }));
  process.exit();
}

const [large = '50e6', scratch = tmpdir()] = process.argv.slice(2);
const folder = mkdtempSync(join(scratch, 'cpt-read-bench-'));
const STEP = 7919; // prime to all counts below: every sequence's turn comes

const python = join(import.meta.dirname, '../../../.venv/bin/python');
function megatron(prefix, reads) {
  try {
    const script = join(import.meta.dirname, 'python_reader.py');
    const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return JSON.parse(
      execFileSync(python, [script, prefix, String(reads), String(STEP)], options)
        .trim()
        .split('\n')
        .at(-1),
    );
  } catch {
    return undefined;
  }
}

/** Processor µs of `work`, shared out among `count`. */
async function microseconds(count, work) {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/** `count` sequences of `length` ids, one a document. */
async function writeSequences(prefix, count, length) {
  const writer = await createDatasetWriter({ prefix, dtype: 'int32' });
  const ids = Int32Array.from({ length }, (_, i) => (i * 7919) % 151643);
  for (let i = 0; i < count; i++) {
    ids[length - 1] = i;
    await writer.addDocument([ids]);
  }
  await writer.finish();
}

async function measureReading(count, length, reads) {
  const prefix = join(folder, `of-${length}`);
  await writeSequences(prefix, count, length);
  const dataset = await openDataset(prefix);
  const numbers = Array.from({ length: reads }, (_, i) => (i * STEP) % count);
  const sums = [0, 0];
  const random = [];
  const inOrder = [];
  for (let round = 0; round < 3; round++) {
    sums.fill(0);
    random.push(
      await microseconds(reads, async () => {
        for (const sequence of numbers) sums[0] += (await dataset.get(sequence))[length - 1];
      }),
    );
    inOrder.push(
      await microseconds(count, async () => {
        for await (const ids of dataset.sequences()) sums[1] += ids[length - 1];
      }),
    );
  }
  await dataset.close();
  const fd = openSync(`${prefix}.bin`, 'r');
  const buffer = new Uint8Array(4 * length);
  const plain = await microseconds(reads, () => {
    for (const sequence of numbers) readSync(fd, buffer, 0, buffer.length, sequence * buffer.length);
  });
  closeSync(fd);
  const peer = megatron(prefix, reads);
  if (peer && String(peer.sums) !== String(sums)) throw new Error(`other ids: ${peer.sums}, here ${sums}`);
  const of = `sequences of ${length} ids`;
  return {
    [`random get, ${of}, CPU µs`]: median(random),
    'readSync of the same into one buffer, CPU µs': plain,
    [`in order, ${of}, CPU µs`]: median(inOrder),
    ...(peer && {
      [`Megatron's IndexedDataset, random, ${of}, CPU µs`]: peer.randomMicroseconds,
      [`Megatron's IndexedDataset, in order, ${of}, CPU µs`]: peer.inOrderMicroseconds,
      [`ratio, random, ${of}`]: peer.randomMicroseconds / median(random),
      [`ratio, in order, ${of}`]: peer.inOrderMicroseconds / median(inOrder),
    }),
  };
}

async function measureOpening(count) {
  const prefix = join(folder, 'large');
  const fd = openSync(`${prefix}.idx`, 'w');
  const lengths = function* () {
    const piece = new Int32Array(1 << 20).fill(1000);
    for (let left = count; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
  };
  const content = {
    dtype: 'int32',
    sequenceCount: count,
    documentCount: count,
    lengths,
    sequencesPerDocument: undefined,
  };
  for (const bytes of serializeIndex(content)) writeSync(fd, bytes);
  closeSync(fd);
  writeFileSync(`${prefix}.bin`, '');
  truncateSync(`${prefix}.bin`, count * 4000); // a hole: no room on the disk
  const runs = [1, 2, 3].map(() =>
    JSON.parse(execFileSync(process.execPath, [import.meta.filename, '--open', prefix], { encoding: 'utf8' })),
  );
  const peer = megatron(prefix, 0);
  return {
    [`open and check ${count / 1e6} million sequences, s by the clock`]: median(runs.map(({ seconds }) => seconds)),
    'the same, CPU s': median(runs.map(({ cpu }) => cpu)),
    'memory held, bytes a sequence': runs[0].held / count,
    'memory at most while opening, bytes a sequence': median(runs.map(({ peak }) => peak)) / count,
    ...(peer && { "Megatron's IndexedDataset maps it and checks its last entry only, CPU s": peer.openSeconds }),
  };
}

try {
  console.log(describeRun());
  const figures = {};
  const measures = [
    () => measureReading(64_000, 1024, 60_000),
    () => measureReading(1_000_000, 64, 200_000),
    () => measureOpening(Number(large)),
  ];
  for (const measure of measures) {
    const found = await measure();
    Object.assign(figures, found);
    for (const [name, value] of Object.entries(found)) console.log(`${name.padEnd(75)} ${value.toPrecision(4)}`);
  }
  saveResult('mmap-read', figures);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

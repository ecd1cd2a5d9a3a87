/**
 * What a conversion costs beside copying the same bytes, all in one run:
 *
 *   memory   `ckpt-convert to-hf` beside `cp`, beside a sha256 of the same bytes alone, beside both, and beside a torch script, on tmpfs
 *   disk     conversion and `cp` on a disk, until the bytes are on it
 *   size     peak memory for a checkpoint ten times as large, whose tensors are holes
 *   plan     the plan for Qwen2-72B at TP 8 × PP 4, from headers of full size
 *
 *   node packages/ckpt-convert/bench/convert-bench.mjs [--quick] [--only memory,disk,size,plan]
 *     [--gb 4] [--rounds 5] [--memory /dev/shm] [--disk /tmp] [--python .venv/bin/python]
 *
 * Each case is a process of its own, measured by GNU time; rounds are interleaved and begin with another case each time. The memory
 * folder needs two and a half times the size, and torch three times the size of memory besides. --quick: 1 GB, few rounds.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, truncateSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeRun, median, saveResult } from '../../../benchmarks/report.mjs';
import { denseModel, QWEN2_72B, wideModel, writeDenseCheckpoint } from './checkpoints.mjs';
import { interleave, measure, measureWhile, printRows } from './measure.mjs';
import { writeSparseCheckpoint } from './sparse-checkpoint.mjs';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: 'memory,disk,size,plan' },
    gb: { type: 'string' },
    rounds: { type: 'string' },
    memory: { type: 'string', default: '/dev/shm' },
    disk: { type: 'string', default: tmpdir() },
    python: { type: 'string', default: join(import.meta.dirname, '../../../.venv/bin/python') },
  },
});
const gigabytes = Number(flags.gb ?? (flags.quick ? 1 : 4));
const rounds = Number(flags.rounds ?? (flags.quick ? 3 : 5));
const sections = flags.only.split(',');
const program = [process.execPath, join(import.meta.dirname, '../bin/ckpt-convert.js')];
const parallel = { tensorParallelSize: 4, pipelineParallelSize: 2 };

function requireRoom(folder, bytes) {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= bytes) return;
  throw new Error(`${folder} has ${(bavail * bsize) / 1e9} GB free; ${bytes / 1e9} are needed`);
}

const scratches = [];
function scratchIn(folder) {
  const scratch = mkdtempSync(join(folder, 'convert-bench-'));
  scratches.push(scratch);
  return scratch;
}

const shell = (...commands) => ['sh', '-ec', commands.join('\n')];

/** Cases of one folder; `sync` is what the shell does after a copy that nobody else flushed. */
function casesIn(source, output, sync = '') {
  const convert = (...more) => [...program, 'to-hf', source, output, '--json', ...more];
  const copy = `cp -r '${source}' '${output}'${sync && `\n${sync}`}`;
  const parts = `${Math.ceil((gigabytes * 1e9) / 8)}`;
  const found = `find '${output}' -type f -exec`;
  return {
    cp: { name: 'cp', command: shell(copy) },
    sum: { name: 'cp, sha256sum', command: shell(copy, `${found} sha256sum {} +`) },
    openssl: { name: 'cp, openssl sha256', command: shell(copy, `${found} openssl dgst -sha256 {} +`) },
    hash: { name: 'sha256 alone', command: [process.execPath, join(import.meta.dirname, 'hash-files.mjs'), source] },
    convert: { name: 'convert', command: convert() },
    noDigest: { name: 'convert --digest none', command: convert('--digest', 'none') },
    shards: { name: 'convert, 8 files', command: convert('--max-shard-size', parts) },
    workers: { name: 'convert, 8 files, --workers 2', command: convert('--max-shard-size', parts, '--workers', '2') },
  };
}

function runIn(scratch, output) {
  return ({ command }) => {
    const result = measure(join(scratch, 'time'), command);
    rmSync(output, { recursive: true, force: true }); // a digest alone leaves none
    return result;
  };
}

/**
 * A conversion beside its two halves: it cannot end before the longer of them does, and has the work of both. The digest alone is of the
 * rank files, which hold the same bytes and the padding rows.
 */
function beside(rows) {
  const row = (name) => rows.find((found) => found.name === name);
  const [whole, bytes, hash] = [row('convert'), row('convert --digest none'), row('sha256 alone')];
  return {
    'conversion ÷ the longer of its copying and its sha256, wall': whole.wall / Math.max(bytes.wall, hash.wall),
    'conversion ÷ its copying and its sha256, CPU': whole.cpu / (bytes.cpu + hash.cpu),
    'conversion ÷ its copying and its sha256, user CPU': whole.user / (bytes.user + hash.user),
  };
}

function printRatios(ratios) {
  console.log('');
  for (const [what, value] of Object.entries(ratios)) {
    const target = /^conversion.*÷ cp, (wall|CPU)$/.exec(what)?.[1];
    console.log(
      `${what.padEnd(62)} ${value.toFixed(2)}${target ? `  (target ${{ wall: 1.25, CPU: 1.5 }[target]})` : ''}`,
    );
  }
}

async function measureMemory() {
  requireRoom(flags.memory, 2.5e9 * gigabytes);
  const scratch = scratchIn(flags.memory);
  const [source, output] = [join(scratch, 'checkpoint'), join(scratch, 'output')];
  await writeDenseCheckpoint(source, denseModel(gigabytes), parallel);
  const { cp, sum, openssl, hash, convert, noDigest, shards, workers } = casesIn(source, output);
  const cases = [cp, convert, noDigest, hash, shards, workers, openssl, sum];
  if (!existsSync(flags.python)) console.log(`no torch beside it: ${flags.python} is not there (npm run conformance)`);
  else if (freemem() < 4.5e9 * gigabytes) console.log(`no torch beside it: ${freemem() / 1e9} GB of memory are free`);
  else {
    const script = join(import.meta.dirname, 'torch_merge.py');
    const command = [flags.python, script, source, output, '4', '2'];
    cases.push({ name: 'torch script', command, rounds: flags.quick ? 1 : 3 });
  }
  const rows = interleave(cases, rounds, runIn(scratch, output));
  rmSync(scratch, { recursive: true });
  printRows(`${gigabytes} GB, TP 4 × PP 2, ${flags.memory}, medians`, rows);
  const row = (name) => rows.find((found) => found.name === name);
  const ratios = {
    'conversion ÷ cp, wall': row('convert').wallRatio,
    'conversion ÷ cp, CPU': row('convert').cpuRatio,
    'conversion without a digest ÷ cp, wall': row('convert --digest none').wallRatio,
    'conversion without a digest ÷ cp, CPU': row('convert --digest none').cpuRatio,
    'conversion ÷ cp and sha256sum, wall': row('convert').wall / row('cp, sha256sum').wall,
    'conversion ÷ cp and sha256sum, CPU': row('convert').cpu / row('cp, sha256sum').cpu,
    'conversion ÷ cp and openssl sha256, wall': row('convert').wall / row('cp, openssl sha256').wall,
    'conversion ÷ cp and openssl sha256, CPU': row('convert').cpu / row('cp, openssl sha256').cpu,
    '1 worker ÷ 2 workers, wall': row('convert, 8 files').wall / row('convert, 8 files, --workers 2').wall,
    'sha256 alone ÷ cp, wall': row('sha256 alone').wallRatio,
    ...beside(rows),
  };
  printRatios(ratios);
  return { rows, ratios };
}

async function measureDisk() {
  requireRoom(flags.disk, 2.5e9 * gigabytes);
  const scratch = scratchIn(flags.disk);
  const [source, output] = [join(scratch, 'checkpoint'), join(scratch, 'output')];
  await writeDenseCheckpoint(source, denseModel(gigabytes), parallel);
  const { cp, hash, convert, noDigest, workers } = casesIn(source, output, `find '${output}' -type f -exec sync {} +`);
  const rows = interleave([cp, convert, noDigest, hash, workers], flags.quick ? 2 : rounds, runIn(scratch, output));
  rmSync(scratch, { recursive: true });
  printRows(`${gigabytes} GB on ${flags.disk}, every file flushed; source in the page cache`, rows);
  const ratios = beside(rows);
  printRatios(ratios);
  return { rows, ratios };
}

/** Takes the content of every finished output file away, so that a large conversion needs room for one. */
function emptyFinished(output) {
  const work = join(output, '.ckpt-convert');
  let journal = '';
  try {
    journal = readFileSync(join(work, 'journal'), 'utf8');
  } catch {
    return; // not begun, or done
  }
  for (const [, name] of journal.matchAll(/"name":"([^"]+\.safetensors)"/g)) {
    if (existsSync(join(work, name))) truncateSync(join(work, name));
  }
}

async function measureSize() {
  const sizes = flags.quick ? [1, 10] : [4, 40];
  const peaks = {};
  for (const size of sizes) {
    const scratch = scratchIn(flags.memory);
    requireRoom(scratch, 4e9);
    const [source, output] = [join(scratch, 'checkpoint'), join(scratch, 'output')];
    const grid = { tensorParallelSize: 8, pipelineParallelSize: size < 40 ? 1 : 4 };
    const model = size < 40 ? denseModel(size) : wideModel(size);
    const bytes = await writeSparseCheckpoint(source, model, grid);
    const command = [...program, 'to-hf', source, output, '--max-shard-size', '1GB', '--workers', '1'];
    const found = await measureWhile(join(scratch, 'time'), command, () => emptyFinished(output));
    peaks[`${(bytes / 1e9).toFixed(1)} GB`] = found;
    rmSync(scratch, { recursive: true });
  }
  console.log('\npeak memory, --workers 1, by size of the checkpoint (target 128 MB)');
  for (const [size, { megabytes, wall }] of Object.entries(peaks)) {
    console.log(`  ${size.padStart(8)}  ${megabytes.toFixed(0)} MB  ${wall.toFixed(1)} s`);
  }
  return peaks;
}

async function measurePlan() {
  const scratch = scratchIn(flags.disk);
  const source = join(scratch, 'checkpoint');
  const bytes = await writeSparseCheckpoint(source, QWEN2_72B, { tensorParallelSize: 8, pipelineParallelSize: 4 });
  const command = [...program, 'to-hf', source, join(scratch, 'output'), '--dry-run'];
  const results = Array.from({ length: rounds }, () => measure(join(scratch, 'time'), command));
  const size = readdirSync(source, { recursive: true }).filter((name) => name.endsWith('.pt')).length;
  const wall = median(results.map((result) => result.wall));
  const cpu = median(results.map((result) => result.cpu));
  const megabytes = Math.max(...results.map((result) => result.megabytes));
  console.log(`\nplan for Qwen2-72B, ${size} rank files of ${(bytes / 1e9).toFixed(0)} GB (targets 2 s, 200 MB)`);
  console.log(`  ${wall.toFixed(2)} s wall  ${cpu.toFixed(2)} CPU s  ${megabytes.toFixed(0)} MB`);
  return { bytes, wall, cpu, megabytes, results };
}

try {
  console.log(describeRun());
  const all = { memory: measureMemory, disk: measureDisk, size: measureSize, plan: measurePlan };
  const figures = {};
  for (const name of sections) figures[name] = await all[name]();
  const isWhole = sections.length === 4 && !flags.quick;
  const name = isWhole ? 'convert' : `convert-${flags.quick ? 'quick-' : ''}${sections.join('-')}`; // never in place of a whole run
  saveResult(name, { gigabytes, rounds, ...figures });
} finally {
  for (const scratch of scratches) rmSync(scratch, { recursive: true, force: true });
}

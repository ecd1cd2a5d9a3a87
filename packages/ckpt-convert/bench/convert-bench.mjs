/**
 * Conversion beside `cp` of the same bytes, in one run: wall time, CPU time and peak memory of `ckpt-convert to-hf` as a process of its
 * own, and what `cp -r` of the checkpoint takes. Rounds are interleaved, and the order within a round alternates.
 *
 *   node packages/ckpt-convert/bench/convert-bench.mjs [GB] [rounds] [folder]
 *
 * Default: 2 GB, 5 rounds, in /dev/shm, where it shows the cost of the software; a folder on a disk adds the disk, whose cache is not
 * dropped. The folder needs three times the size. The conversion flushes each file to the disk and takes its sha256; cp does neither.
 */
import { execFileSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { writeMegatronRankFiles } from '../dist/index.js';

const [gigabytes = '2', rounds = '5', folder = '/dev/shm'] = process.argv.slice(2);
const repository = join(import.meta.dirname, '../../..');
const program = join(import.meta.dirname, '../bin/ckpt-convert.js');

const LAYER_BYTES = 2 * (2 * 2048 * 2048 + 2 * 512 * 2048 + 3 * 2048 * 5632); // its matrices
const TABLES_BYTES = 2 * 2 * 32_000 * 2048;
const layers = 4 * Math.max(1, Math.round((Number(gigabytes) * 1e9 - TABLES_BYTES) / LAYER_BYTES / 4));
const model = {
  family: 'qwen2',
  layers,
  hiddenSize: 2048,
  ffnHiddenSize: 5632,
  heads: 32,
  queryGroups: 8,
  headDim: 64,
  vocabSize: 32_000,
  normEpsilon: 1e-6,
  ropeTheta: 1e6,
  isTied: false,
  hasQkvBias: true,
  maxPositionEmbeddings: 4096,
};
const parallel = { tensorParallelSize: 4, pipelineParallelSize: 2 };

function shapeOf(name) {
  const { hiddenSize, ffnHiddenSize, queryGroups, headDim, vocabSize } = model;
  if (/(embed_tokens|lm_head)\.weight$/.test(name)) return [vocabSize, hiddenSize];
  if (/norm\.weight$|q_proj\.bias$/.test(name)) return [hiddenSize];
  if (/[kv]_proj\.bias$/.test(name)) return [queryGroups * headDim];
  if (/[kv]_proj\.weight$/.test(name)) return [queryGroups * headDim, hiddenSize];
  if (/(gate|up)_proj\.weight$/.test(name)) return [ffnHiddenSize, hiddenSize];
  if (/down_proj\.weight$/.test(name)) return [hiddenSize, ffnHiddenSize];
  return [hiddenSize, hiddenSize];
}

/** Incompressible bytes; a file system that deduplicates gains nothing. */
const tensors = {
  shapeOf: (name) => ({ dtype: 'BF16', shape: shapeOf(name) }),
  async read(name) {
    const bytes = 2 * shapeOf(name).reduce((product, size) => product * size, 1);
    const key = Buffer.from(name.padStart(16).slice(-16));
    return new Uint8Array(
      createCipheriv('aes-128-ctr', key, Buffer.alloc(16, name.length)).update(new Uint8Array(bytes)),
    );
  },
};

/** Seconds, CPU seconds and peak MB of one process, measured from outside by GNU time. */
function measure(command, args) {
  const report = join(scratch, 'time');
  execFileSync('/usr/bin/time', ['-o', report, '-f', '%e %U %S %M', command, ...args], { stdio: 'ignore' });
  const [wall, user, system, kilobytes] = execFileSync('tail', ['-n1', report], { encoding: 'utf8' })
    .split(' ')
    .map(Number);
  return { wall, cpu: user + system, megabytes: kilobytes / 1024 };
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const { bavail, bsize } = statfsSync(folder);
if (bavail * bsize < 2.5e9 * Number(gigabytes)) {
  throw new Error(`${folder} has ${(bavail * bsize) / 1e9} GB free; ${2.5 * gigabytes} are needed`);
}
const scratch = mkdtempSync(join(folder, 'convert-bench-'));
try {
  const source = join(scratch, 'checkpoint');
  await writeMegatronRankFiles({ directory: source, iteration: 1, model, parallel, tensors, dtype: 'BF16' });
  const output = join(scratch, 'output');
  const runs = {
    convert: () => measure(process.execPath, [program, 'to-hf', source, output, '--json']),
    cp: () => measure('cp', ['-r', source, output]),
  };
  const results = { convert: [], cp: [] };
  for (let round = 0; round <= Number(rounds); round++) {
    for (const name of round % 2 === 0 ? ['convert', 'cp'] : ['cp', 'convert']) {
      const result = runs[name]();
      rmSync(output, { recursive: true });
      if (round > 0) results[name].push(result); // the first round only warms up
    }
  }

  const bytes = layers * LAYER_BYTES + TABLES_BYTES;
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: repository, encoding: 'utf8' }).trim();
  const run = `commit ${commit}, ${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`;
  console.log(
    `${run}\n${(bytes / 1e9).toFixed(2)} GB, TP 4 × PP 2, ${layers} layers, ${folder}, ${rounds} rounds, medians`,
  );
  const rows = Object.entries(results).map(([name, all]) => {
    const of = (field) => median(all.map((result) => result[field]));
    return {
      name,
      wall: of('wall'),
      leastWall: Math.min(...all.map(({ wall }) => wall)),
      cpu: of('cpu'),
      megabytes: of('megabytes'),
    };
  });
  console.log('         wall s   (least)   CPU s   peak MB    GB/s');
  for (const { name, wall, leastWall, cpu, megabytes } of rows) {
    const cells = [
      wall.toFixed(2),
      `(${leastWall.toFixed(2)})`,
      cpu.toFixed(2),
      megabytes.toFixed(0),
      (bytes / 1e9 / wall).toFixed(2),
    ];
    console.log(`${name.padEnd(7)}${cells.map((cell, at) => cell.padStart([8, 10, 8, 10, 8][at])).join('')}`);
  }
  const ratios = (field) => results.convert.map((result, round) => result[field] / results.cp[round][field]);
  const ratio = { wall: median(ratios('wall')), cpu: median(ratios('cpu')) };
  console.log(`conversion ÷ cp, median of the rounds: wall ${ratio.wall.toFixed(2)}, CPU ${ratio.cpu.toFixed(2)}`);
  const folderOfResults = join(repository, 'benchmarks/results');
  mkdirSync(folderOfResults, { recursive: true });
  const figures = {
    name: 'convert',
    run,
    at: new Date().toISOString(),
    bytes,
    folder,
    rounds: Number(rounds),
    rows,
    ratio,
    results,
  };
  writeFileSync(join(folderOfResults, 'convert.json'), `${JSON.stringify(figures, null, 2)}\n`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

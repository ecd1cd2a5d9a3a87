/**
 * Kills a conversion with SIGKILL at random moments of its life, 200 times, and goes on with --resume each time. Every output must end
 * byte-equal to one that was never killed, and a kill may cost one output file at most. Ends with `N passed, M failed`.
 *
 *   node conformance/kill-converter.mjs [kills] [seed]
 *
 * One to two minutes. CPT_SCRATCH names another folder than the one for temporary files; it needs 300 MB.
 */
import { spawn } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [kills = '200', seed = '1'] = process.argv.slice(2);
const converter = join(import.meta.dirname, '../packages/ckpt-convert');
const { writeMegatronRankFiles } = await import(pathToFileURL(join(converter, 'dist/index.js')).href);
const WORK = '.ckpt-convert';
const INDEX = 'model.safetensors.index.json';

const model = {
  family: 'qwen2',
  layers: 8,
  hiddenSize: 512,
  ffnHiddenSize: 1792,
  heads: 8,
  queryGroups: 4,
  headDim: 64,
  vocabSize: 8192,
  normEpsilon: 1e-6,
  ropeTheta: 1e6,
  isTied: false,
  hasQkvBias: true,
  maxPositionEmbeddings: 4096,
};

/** Shapes of a Qwen2 by the last words of a name. */
function shapeOf(name) {
  const { hiddenSize, ffnHiddenSize, queryGroups, headDim, vocabSize } = model;
  const kv = queryGroups * headDim;
  if (/(embed_tokens|lm_head)\.weight$/.test(name)) return [vocabSize, hiddenSize];
  if (/norm\.weight$|q_proj\.bias$/.test(name)) return [hiddenSize];
  if (/[kv]_proj\.bias$/.test(name)) return [kv];
  if (/[kv]_proj\.weight$/.test(name)) return [kv, hiddenSize];
  if (/(gate|up)_proj\.weight$/.test(name)) return [ffnHiddenSize, hiddenSize];
  if (/down_proj\.weight$/.test(name)) return [hiddenSize, ffnHiddenSize];
  return [hiddenSize, hiddenSize];
}

/** Bytes that a cipher gives: always the same, and no two tensors alike. */
const tensors = {
  shapeOf: (name) => ({ dtype: 'BF16', shape: shapeOf(name) }),
  async read(name) {
    const key = createHash('md5').update(name).digest();
    const bytes = 2 * shapeOf(name).reduce((product, size) => product * size, 1);
    return new Uint8Array(createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(new Uint8Array(bytes)));
  },
};

let state = Number(seed) >>> 0;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

const scratch = mkdtempSync(join(process.env.CPT_SCRATCH ?? tmpdir(), 'kill-converter-'));
const source = join(scratch, 'checkpoint');

function convert(output) {
  const args = ['to-hf', source, output, '--resume', '--max-shard-size', '4MB', '--json'];
  const child = spawn(process.execPath, [join(converter, 'bin/ckpt-convert.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const done = new Promise((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr })),
  );
  return { child, done };
}

const digests = (folder) =>
  readdirSync(folder)
    .sort()
    .map(
      (name) =>
        `${name} ${createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex')}`,
    )
    .join('\n');

/** Where a kill met the conversion, and how many files it had written and not noted as finished. */
function examine(output) {
  const work = join(output, WORK);
  if (!existsSync(output)) return { phase: 'starting', lost: 0, finished: 0 };
  if (!existsSync(work)) return { phase: 'ending', lost: 0, finished: 0 };
  // The work folder is removed file by file after the last rename, the journal among them.
  if (!existsSync(join(work, 'journal')) && existsSync(join(output, INDEX)))
    return { phase: 'ending', lost: 0, finished: 0 };
  const journal = existsSync(join(work, 'journal')) ? readFileSync(join(work, 'journal'), 'utf8') : '';
  if (journal.includes('"commit"')) return { phase: 'renaming', lost: 0, finished: 0 };
  const finished = journal.split('\n').filter((line) => line.startsWith('{"shard"') && line.endsWith('}}')).length;
  const there = readdirSync(work).filter((name) => name.endsWith('.safetensors')).length;
  return { phase: 'writing', lost: there - finished, finished };
}

try {
  const parallel = { tensorParallelSize: 2, pipelineParallelSize: 2 };
  await writeMegatronRankFiles({ directory: source, iteration: 1, model, parallel, tensors, dtype: 'BF16' });
  const begin = performance.now();
  const first = await convert(join(scratch, 'expected')).done;
  if (first.code !== 0) throw new Error(first.stderr);
  const life = performance.now() - begin;
  const expected = digests(join(scratch, 'expected'));
  const { files, bytes } = JSON.parse(first.stdout);
  console.log(
    `${(bytes / 1e6).toFixed(0)} MB in ${files.length} files, ${life.toFixed(0)} ms without a kill; seed ${seed}`,
  );

  const phases = { starting: 0, writing: 0, renaming: 0, ending: 0 };
  const figures = { kills: 0, runs: 0, resumed: 0, lost: 0, mostLost: 0 };
  const faults = [];
  for (let number = 0; figures.kills < Number(kills); number++) {
    const output = join(scratch, `out-${number}`);
    for (let attempt = 0; ; attempt++) {
      const { child, done } = convert(output);
      if (figures.kills < Number(kills) && attempt < 8) {
        await Promise.race([sleep(random() * life), done]);
        child.kill('SIGKILL');
      }
      const { code, signal, stdout, stderr } = await done;
      if (code === 0) {
        if (JSON.parse(stdout).resumed) figures.resumed++;
        break;
      }
      if (signal !== 'SIGKILL') {
        // The kill fell between the last rename and the end: the folder is whole, and --resume says that it is in the way.
        if (existsSync(join(output, INDEX)) && stderr.includes('CPT_INPUT_OUTPUT_EXISTS') && attempt > 0) break;
        faults.push(`out-${number}: ended with ${code}: ${stderr.trim()}`);
        break;
      }
      figures.kills++;
      const { phase, lost } = examine(output);
      phases[phase]++;
      figures.lost += lost;
      figures.mostLost = Math.max(figures.mostLost, lost);
      if (lost > 1) faults.push(`out-${number}: a kill cost ${lost} files`);
      if (phase === 'writing' && existsSync(join(output, INDEX))) faults.push(`out-${number}: an index before the end`);
    }
    figures.runs++;
    if (!existsSync(output) || digests(output) !== expected)
      faults.push(`out-${number}: differs from an uninterrupted run`);
    rmSync(output, { recursive: true, force: true });
  }
  const where = Object.entries(phases).map(([phase, count]) => `${count} while ${phase}`);
  console.log(
    `${figures.kills} kills (${where.join(', ')}) in ${figures.runs} outputs, ${figures.resumed} of them resumed at the end`,
  );
  console.log(`${figures.lost} files written again, at most ${figures.mostLost} a kill`);
  for (const fault of faults) console.log(`FAIL ${fault}`);
  console.log(`${figures.runs - Math.min(figures.runs, faults.length)} passed, ${faults.length} failed`);
  process.exitCode = faults.length > 0 ? 1 : 0;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

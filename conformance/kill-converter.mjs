/**
 * Kills conversions with SIGKILL at random moments of their lives, 200 times, and goes on with --resume each time: to-hf, to-megatron in
 * both formats, reshard, and to-hf in three parts that run and die at the same time. Every output must end byte-equal to one that was
 * never killed, with nothing else in it and the same result on stdout; a kill may cost one output file at most. Ends with `N passed, M failed`.
 *
 *   node conformance/kill-converter.mjs [kills] [seed]
 *
 * Two minutes on an idle machine, some more on a busy one. CPT_SCRATCH names another folder than the one for temporary files; it needs 300 MB.
 */
import { spawn } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [kills = '200', seed = '1'] = process.argv.slice(2);
const converter = join(import.meta.dirname, '../packages/ckpt-convert');
const { writeMegatronRankFiles } = await import(pathToFileURL(join(converter, 'dist/index.js')).href);
const WORK = '.ckpt-convert';
const INDEX = 'model.safetensors.index.json';
const TRACKER = 'latest_checkpointed_iteration.txt';
const PARTS = 3;

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

const folder = join(scratch, 'folder');
const grid = (tp, pp) => ['--tp', String(tp), '--pp', String(pp)];
/** `unit`: files that are written at the same time, which one kill may cost. */
const jobs = [
  { name: 'to-hf', args: ['to-hf', source], more: ['--max-shard-size', '4MB'], final: INDEX, unit: 1 },
  { name: 'to-hf in parts', args: ['to-hf', source], more: ['--max-shard-size', '4MB'], final: INDEX, unit: PARTS },
  { name: 'to-megatron', args: ['to-megatron', folder], more: grid(2, 4), final: TRACKER, unit: 1 },
  {
    name: 'torch_dist',
    args: ['to-megatron', folder],
    more: [...grid(2, 2), '--format', 'torch_dist'],
    final: TRACKER,
    unit: 1,
  },
  { name: 'reshard', args: ['reshard', source], more: grid(4, 2), final: TRACKER, unit: 1 },
].map((job) => ({ ...job, isShared: job.name.endsWith('parts'), kills: 0, outputs: 0 }));

function convert({ args, more }, output, part) {
  const goOn = part === undefined ? ['--resume'] : ['--part', `${part}/${PARTS}`];
  const all = [...args, output, ...more, ...goOn, '--json'];
  const child = spawn(process.execPath, [join(converter, 'bin/ckpt-convert.js'), ...all], {
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

const sha256Of = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** A line for each file and folder below a folder, hidden ones too. */
const digests = (root) =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .map((entry) => ({ isFile: entry.isFile(), path: join(entry.parentPath, entry.name) }))
    .map(({ path, isFile }) => `${relative(root, path)} ${isFile ? sha256Of(path) : ''}`)
    .sort()
    .join('\n');

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** What a conversion that may be running is at. */
function phaseOf(output, { final }) {
  const work = join(output, WORK);
  const text = readIfThere(join(work, 'journal'));
  if (text === undefined && existsSync(join(work, 'parts'))) return 'writing';
  if (text === undefined) return existsSync(join(output, final)) ? 'ending' : 'starting';
  if (text.includes('"done"')) return 'ending';
  return text.includes('"commit"') ? 'renaming' : 'writing';
}

/** How many files a killed conversion had begun and not noted as finished. */
function lostFiles(output, { files }) {
  const names = readdirSync(join(output, WORK), { recursive: true });
  const journals = names.filter((name) => name === 'journal' || name.endsWith('/journal'));
  const lines = journals.flatMap((name) => readFileSync(join(output, WORK, name), 'utf8').split('\n'));
  const finished = lines.filter((line) => line.startsWith('{"shard"') && line.endsWith('}}'));
  const noted = new Set(finished.map((line) => JSON.parse(line).shard.name));
  return files.filter(({ name }) => names.includes(name) && !noted.has(name)).length;
}

/** Waits for a moment to kill: any time, or, where the last milliseconds are yet to come, often one of those. */
async function momentToKill(output, job, done) {
  let isOver = false;
  const over = done.then(() => {
    isOver = true;
  });
  const phases = random() < 0.6 ? ['renaming', 'ending'] : ['ending'];
  if (random() < 0.6 || phases.includes(phaseOf(output, job))) return Promise.race([sleep(random() * job.life), over]);
  while (!isOver && !phases.includes(phaseOf(output, job))) await new Promise((resolve) => setImmediate(resolve));
  const until = performance.now() + (random() < 0.5 ? 0 : random() * 4);
  while (performance.now() < until);
}

const phases = { starting: 0, writing: 0, renaming: 0, ending: 0 };
const figures = { kills: 0, runs: 0, resumed: 0, lost: 0, mostLost: 0 };
const faults = [];

/** Runs one process to its end, and again whenever a kill ended it. */
async function runToTheEnd(job, output, name, part) {
  for (let attempt = 0; ; attempt++) {
    const phase = phaseOf(output, job);
    const { child, done } = convert(job, output, part);
    // One that is in its end already has little left that a kill could disturb.
    const mayDie = attempt < 8 && (phase !== 'ending' || random() < 0.4);
    if (figures.kills < Number(kills) && mayDie) {
      await momentToKill(output, job, done);
      child.kill('SIGKILL');
    }
    const { code, signal, stdout, stderr } = await done;
    if (signal === 'SIGKILL') {
      noteKill(job, output, name);
      continue;
    }
    if (code !== 0) {
      faults.push(`${name}: ended with ${code}: ${stderr.trim()}`);
      return undefined;
    }
    const result = JSON.parse(stdout);
    if (result.resumed) figures.resumed++;
    // Others may have come meanwhile where the output is shared.
    if (!job.isShared && result.resumed !== (phase !== 'starting'))
      faults.push(`${name}: says resumed: ${result.resumed} after ${phase}`);
    return result;
  }
}

function noteKill(job, output, name) {
  figures.kills++;
  job.kills++;
  const phase = phaseOf(output, job);
  phases[phase]++;
  if (phase === 'writing' && existsSync(join(output, job.final))) faults.push(`${name}: ${job.final} before the end`);
  if (phase !== 'writing' || job.isShared) return; // the other parts are at work on files of their own
  const lost = lostFiles(output, job);
  figures.lost += lost;
  figures.mostLost = Math.max(figures.mostLost, lost);
  if (lost > job.unit) faults.push(`${name}: a kill cost ${lost} files`);
}

async function kill(job, number) {
  const name = `${job.name} ${number}`;
  const output = join(scratch, `out-${number}`);
  const parts = job.isShared ? Array.from({ length: PARTS }, (_, at) => at + 1) : [undefined];
  const results = await Promise.all(parts.map((part) => runToTheEnd(job, output, name, part)));
  const files = results.flatMap((result) => result?.files ?? []);
  if (JSON.stringify(files) !== JSON.stringify(job.files)) faults.push(`${name}: names other files`);
  if (job.isShared && !results.some((result) => result?.part.whole)) faults.push(`${name}: no part says it is whole`);
  figures.runs++;
  job.outputs++;
  if (!existsSync(output) || digests(output) !== job.expected)
    faults.push(`${name}: differs from an uninterrupted run`);
  rmSync(output, { recursive: true, force: true });
}

try {
  const parallel = { tensorParallelSize: 2, pipelineParallelSize: 2 };
  await writeMegatronRankFiles({ directory: source, iteration: 1, model, parallel, tensors, dtype: 'BF16' });
  for (const [at, job] of [jobs[0], ...jobs].entries()) {
    const output = at === 0 ? folder : join(scratch, 'expected');
    const begin = performance.now();
    const { code, stdout, stderr } = await convert(job, output).done;
    if (code !== 0) throw new Error(`${job.name}: ${stderr}`);
    job.life = performance.now() - begin;
    job.expected = digests(output);
    job.files = JSON.parse(stdout).files;
    if (output !== folder) rmSync(output, { recursive: true });
  }
  const sizes = jobs.map(({ name, files, life }) => `${name} ${files.length} files in ${life.toFixed(0)} ms`);
  console.log(`without a kill: ${sizes.join(', ')}; seed ${seed}`);
  for (let number = 0; figures.kills < Number(kills); number++) await kill(jobs[number % jobs.length], number);
  const where = Object.entries(phases).map(([phase, count]) => `${count} while ${phase}`);
  console.log(
    `${figures.kills} kills (${where.join(', ')}) in ${figures.runs} outputs, ${figures.resumed} resumed at the end`,
  );
  console.log(jobs.map((job) => `${job.name} ${job.kills} kills in ${job.outputs} outputs`).join(', '));
  console.log(`${figures.lost} files written again, at most ${figures.mostLost} a kill`);
  for (const fault of faults) console.log(`FAIL ${fault}`);
  console.log(`${figures.runs - Math.min(figures.runs, faults.length)} passed, ${faults.length} failed`);
  process.exitCode = faults.length > 0 ? 1 : 0;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

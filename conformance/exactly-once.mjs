/**
 * Submits under kills and faults, 1,000 times, and counts the jobs that PAI then holds: one each, no second, none lost. Most runs are in
 * one process on a clock of their own, with a kill at any of the steps; the others are real processes against pai-local over HTTP that
 * SIGKILL ends. Ends with `N passed, M failed`.
 *
 *   node conformance/exactly-once.mjs [runs] [runs with SIGKILL] [seed]
 *
 * Two to three minutes.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [runs, killRuns, firstSeed] = ['1000', '40', '1'].map((value, index) => Number(process.argv[index + 2] ?? value));
const root = join(import.meta.dirname, '..');
const { buildPaiLocal, seededRandom } = await import(
  pathToFileURL(join(root, 'packages/pai-local/dist/index.js')).href
);
const scratch = mkdtempSync(join(tmpdir(), 'exactly-once-'));

function count(items) {
  const counts = new Map();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([item, number]) => `${item} ${number}`)
    .join(', ');
}

/** The runs on a clock of their own. */
function simulate() {
  const file = join(scratch, 'figures.json');
  const environment = { CPT_EXACTLY_ONCE_SEEDS: String(runs - killRuns), CPT_EXACTLY_ONCE_FIRST: String(firstSeed) };
  const { status } = spawnSync('npx', ['vitest', 'run', 'test/exactly-once', '--reporter=dot', '--maxWorkers=1'], {
    cwd: join(root, 'packages/sdk'),
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...environment, CPT_EXACTLY_ONCE_FIGURES: file },
  });
  return { isGreen: status === 0, outcomes: JSON.parse(readFileSync(file, 'utf8')) };
}

/** A pai-local on a port whose jobs never start, and a hook into every request. */
async function openPai(directory) {
  const pai = await buildPaiLocal({
    accessKeys: { testid: 'testsecret' },
    stateDirectory: join(directory, 'state'),
    nasDirectory: join(directory, 'nas'),
    pace: 3_600_000,
  });
  let onRequest = () => {};
  pai.server.prependListener('request', (request, response) => onRequest(request, response));
  await new Promise((resolve) => pai.server.listen(0, '127.0.0.1', resolve));
  return {
    pai,
    url: `http://127.0.0.1:${pai.server.address().port}`,
    watch(listener) {
      onRequest = listener;
    },
    async jobs() {
      const url = '/api/v1/jobs?PageSize=1000';
      const request = { method: 'GET', url, action: 'ListJobs', version: '2020-12-03', body: new Uint8Array() };
      return JSON.parse((await pai.answer(request)).text).Jobs;
    },
  };
}

/** One process, killed as `plan` says; how it ended, and what it had written by then. */
async function submitOnce({ url, watch }, key, directory, plan) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'exactly-once-child.mjs'), url, key, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  const ended = new Promise((resolve) => child.once('close', (_, signal) => resolve(signal)));
  let requests = 0;
  if (plan.kind === 'request' || plan.kind === 'answer') {
    watch((_, response) => {
      if (requests++ !== plan.at) return;
      if (plan.kind === 'request') child.kill('SIGKILL');
      else response.once('close', () => child.kill('SIGKILL'));
    });
  } else if (plan.kind === 'moment') {
    void sleep(plan.at).then(() => child.kill('SIGKILL'));
  }
  const isKilled = (await ended) === 'SIGKILL';
  watch(() => {});
  return { isKilled, answer: stdout ? JSON.parse(stdout) : undefined, last: lastRecord(directory) };
}

function lastRecord(directory) {
  const name = readdirSync(directory).find((candidate) => candidate.endsWith('.ndjson'));
  const lines = name ? readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1) : [];
  return lines.length > 0 ? JSON.parse(lines.at(-1)).type : 'nothing';
}

function drawFaults(random) {
  const commits = random() < 0.6;
  const lost = ['drop', 'reset-mid-body', 'hang', 'html-502', 'empty-200', 'error-500', 'throttle', 'slow-body'];
  const fault = lost[Math.floor(random() * lost.length)];
  const late = commits && random() < 0.4 ? { commitAfterMs: Math.round(random() * 700) } : {};
  const ms = fault === 'slow-body' ? 40 : 1500;
  const carriesOut = fault !== 'throttle' && fault !== 'slow-body' ? { commits, ...late } : {};
  return [
    { fault, action: 'CreateJob', times: 1, ms, ...carriesOut },
    ...(random() < 0.5 ? [{ fault: 'late-visibility', action: 'CreateJob', ms: Math.round(random() * 800) }] : []),
    ...(random() < 0.3 ? [{ fault: 'double-listing', action: 'ListJobs' }] : []),
    ...(random() < 0.3 ? [{ fault: 'html-503', action: 'ListJobs', times: 2, skip: 1 }] : []),
  ];
}

async function killSeed(seed, world, directory) {
  const random = seededRandom(seed);
  const key = `killed ${seed}`;
  const folders = random() < 0.2 ? ['a', 'b'] : ['a'];
  const told = { kills: [], answers: [], faults: [] };
  const earlier = new Set((await world.jobs()).map(({ JobId }) => JobId));
  world.pai.faults.set({ seed, rules: drawFaults(random) });
  const live = async (folder) => {
    for (let attempt = 0; attempt < 3; attempt++) {
      const kind = ['request', 'answer', 'moment'][Math.floor(random() * 3)];
      const plan = { kind, at: kind === 'moment' ? 150 + random() * 2500 : Math.floor(random() * 4) };
      const { isKilled, answer, last } = await submitOnce(world, key, folder, plan);
      if (isKilled) told.kills.push(last);
      else told.answers.push(answer?.how ?? answer?.code ?? 'nothing');
      if (answer?.jobId) return;
    }
  };
  const paths = folders.map((name) => join(directory, `${seed}-${name}`));
  for (const path of paths) mkdirSync(path, { recursive: true });
  await Promise.all(paths.map(live));
  told.faults = world.pai.faults
    .counts()
    .filter(({ struck }) => struck > 0)
    .map(({ rule }) => rule.fault);
  world.pai.faults.set({ rules: [] });
  await sleep(1600); // what was late has come
  let answer;
  for (const path of paths) ({ answer } = await submitOnce(world, key, path, { kind: 'never' }));
  told.answers.push(answer?.how ?? answer?.code ?? 'nothing');
  const jobs = (await world.jobs()).filter(({ JobId }) => !earlier.has(JobId));
  const alive = jobs.filter(({ Status }) => Status !== 'Stopping' && Status !== 'Stopped');
  const isLost = alive.length === 0;
  const isWrong = answer?.jobId !== alive[0]?.JobId;
  return { seed, created: jobs.length, alive: alive.length, isLost, wrongAnswers: isWrong ? 1 : 0, ...told };
}

async function killForReal() {
  const outcomes = [];
  let next = 0;
  const worker = async (name) => {
    const directory = join(scratch, name);
    const world = await openPai(directory);
    while (next < killRuns) outcomes.push(await killSeed(firstSeed + next++, world, directory));
    await world.pai.close();
    world.pai.server.closeAllConnections();
    world.pai.server.close();
  };
  await Promise.all(['one', 'two', 'three', 'four'].map(worker));
  return outcomes;
}

function report(title, outcomes) {
  const duplicates = outcomes.reduce((sum, { alive }) => sum + Math.max(0, alive - 1), 0);
  const lost = outcomes.filter(({ isLost, alive }) => isLost || alive === 0);
  const wrong = outcomes.filter(({ wrongAnswers }) => wrongAnswers > 0);
  const answers = outcomes.flatMap((outcome) => [...outcome.answers, ...(outcome.errors ?? [])]);
  const asked = answers.filter((answer) => answer === 'CPT_PAI_SUBMIT_UNKNOWN').length;
  const kills = outcomes.flatMap((outcome) => outcome.kills);
  console.log(
    `${title}: ${outcomes.length} runs, ${kills.length} kills, ${duplicates} duplicates, ${lost.length} lost`,
  );
  console.log(`  answers: ${count(answers)}; asked ${asked} times`);
  console.log(`  kills: ${count(kills)}`);
  console.log(`  faults: ${count(outcomes.flatMap((outcome) => outcome.faults))}`);
  console.log(
    `  ${outcomes.filter(({ created }) => created > 1).length} runs in which a second job was made, and stopped`,
  );
  const bad = outcomes.filter((outcome) => outcome.alive !== 1 || lost.includes(outcome) || wrong.includes(outcome));
  for (const { seed, alive, created } of bad)
    console.log(`FAIL ${title}, seed ${seed}: ${alive} of ${created} jobs alive`);
  return bad.length;
}

try {
  const { isGreen, outcomes } = simulate();
  const failed = report('simulated', outcomes) + report('SIGKILL', await killForReal());
  console.log(`${runs - failed} passed, ${failed} failed`);
  process.exitCode = isGreen && failed === 0 ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

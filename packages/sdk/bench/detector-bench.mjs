/**
 * Log lines a second through the parser, the rules and the incidents, over a synthetic Megatron log of a million lines, and
 * the size of the state at its end. Needs a build: `npx tsc -b && node bench/detector-bench.mjs [lines]`.
 */
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { advance, createDetector, createMonitor, observe, parseTrainingLine } from '../dist/index.js';

const COUNT = Number(process.argv[2] ?? 1_000_000);
/** Lines that are made at a time; few, for those that wait are moved by every garbage collection. */
const BLOCK = 1000;

/** Noise that is the same in every run. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const next = random(1);
function logLine(iteration) {
  const spike = iteration % 5000 === 0 ? 2 : 1;
  const loss = (1.8 + 3 * iteration ** -0.2) * (0.98 + 0.04 * next()) * spike;
  const norm = (0.9 + 0.2 * next()) * spike;
  return ` [2026-11-24 00:00:00] iteration ${String(iteration).padStart(8)}/ ${COUNT} | consumed samples: ${iteration * 32} | elapsed time per iteration (ms): ${(4000 + 100 * next()).toFixed(1)} | throughput per GPU (TFLOP/s/GPU): 140.1 | learning rate: 4.000000E-05 | global batch size:    32 | lm loss: ${loss.toExponential(6)} | loss scale: 1.0 | grad norm: ${norm.toFixed(3)} | number of skipped iterations:   0 | number of nan iterations:   0 |`;
}

const spent = { parse: [0, 0], observe: [0, 0], whole: [0, 0] };
/** Runs a part and adds its wall and CPU time, in ms; on a shared machine they differ. */
function timed(name, run) {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  const result = run();
  const { user, system } = process.cpuUsage(cpu);
  spent[name][0] += performance.now() - wall;
  spent[name][1] += (user + system) / 1000;
  return result;
}

let monitor = createMonitor({ vocabSize: 152_064 });
let detector = createDetector({ vocabSize: 152_064 });
let opened = 0;
/** Resident memory after a tenth of the lines, when everything is compiled, and at the end. */
let rssAtTenth = 0;
for (let start = 1; start <= COUNT; start += BLOCK) {
  if (rssAtTenth === 0 && start > COUNT / 10) rssAtTenth = process.memoryUsage.rss();
  const lines = Array.from({ length: Math.min(BLOCK, COUNT - start + 1) }, (_, index) => logLine(start + index));
  const events = timed('parse', () => lines.map((line) => parseTrainingLine(line)));
  timed('observe', () => {
    for (const event of events) detector = observe(detector, event).state;
  });
  timed('whole', () => {
    for (const line of lines) {
      const step = advance(monitor, parseTrainingLine(line));
      monitor = step.state;
      for (const { change } of step.changes) if (change === 'opened') opened += 1;
    }
  });
}

const per = (ms) => Math.round(COUNT / (ms / 1000)).toLocaleString('en-US');
const rate = ([wall, cpu]) => `${per(wall)} lines/s (${per(cpu)} per CPU second)`;
console.log(`${COUNT.toLocaleString('en-US')} lines, Node ${process.version}`);
console.log(`parser alone            ${rate(spent.parse)}`);
console.log(`rules alone             ${rate(spent.observe)}`);
console.log(`parser, rules, incidents ${rate(spent.whole)}`);
console.log(`${opened} incidents; state ${JSON.stringify(monitor).length.toLocaleString('en-US')} bytes of JSON`);
const mib = (bytes) => (bytes / 2 ** 20).toFixed(0);
console.log(
  `resident memory: ${mib(rssAtTenth)} MiB after a tenth of the lines, ${mib(process.memoryUsage.rss())} MiB at the end`,
);

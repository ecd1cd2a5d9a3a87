/**
 * What the rules find and what they find wrongly, next to what others do: faults at 200 places of every curve set, alarms on
 * the curves as they are. The numbers of rule B1 are tried on one half of the data and reported on the other. Needs a build;
 * the real curves lie beside the project (shared/data/real-logs); without them only the synthetic ones are shown.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDetector, observe } from '../dist/index.js';
import { BASELINES, medianSpike } from './baselines.mjs';
import { FAULTS, recallOf, seededRandom, syntheticLosses } from './faults.mjs';

const PLACES = 200;
const LOGS = join(import.meta.dirname, '../../../../shared/data/real-logs');

const curve = (file) =>
  readFileSync(join(LOGS, file), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => Number(row.split(',')[1]))
    .filter((loss) => !Number.isNaN(loss));

/** Every warning or worse that the rules give on these losses. */
function ours(losses) {
  let state = createDetector({});
  const found = [];
  for (const [index, lmLoss] of losses.entries()) {
    const step = observe(state, { type: 'iteration', iteration: index + 1, trainIterations: 1e6, lmLoss });
    state = step.state;
    if (step.signals.some(({ level }) => level !== 'info')) found.push(index);
  }
  return found;
}

const tuning = { 'synthetic, seeds 1–8': Array.from({ length: 8 }, (_, seed) => syntheticLosses(2000, seed + 1)) };
const heldOut = { 'synthetic, seeds 9–16': Array.from({ length: 8 }, (_, seed) => syntheticLosses(2000, seed + 9)) };
let spiky;
if (existsSync(LOGS)) {
  const calm = curve('megatron-golden-gpt3-15b-8t-h100-calm.csv');
  const half = calm.length >> 1;
  tuning['15B golden curve, first half'] = [calm.slice(0, half)];
  heldOut['15B golden curve, second half'] = [calm.slice(half)];
  spiky = curve('megatron-golden-mixtral8x7b-h100.csv');
} else {
  console.log(`${LOGS} is not there: synthetic curves only\n`);
}

function alarmsOn(detector, curves) {
  return curves.reduce((sum, losses) => sum + detector(losses).length, 0);
}
function found(detector, curves, fault) {
  const each = Math.ceil(PLACES / curves.length);
  const random = seededRandom(20_260_915);
  const results = curves.map((losses) => recallOf(detector, losses, fault, each, random));
  const delays = results
    .map(({ medianDelay }) => medianDelay)
    .filter((delay) => delay !== undefined)
    .sort((a, b) => a - b);
  return {
    recall: results.reduce((sum, { recall }) => sum + recall, 0) / curves.length,
    delay: delays[delays.length >> 1],
  };
}
const cell = ({ recall, delay }) => `${recall.toFixed(3)} (${delay ?? '–'})`;
function table(title, rows, curves) {
  console.log(`${title}: recall (median delay in lines), then alarms on the curves as they are`);
  const names = [...FAULTS.map(({ name }) => name), 'alarms'];
  console.log(['detector'.padEnd(26), ...names.map((name) => name.padStart(15))].join(''));
  for (const [name, detector] of Object.entries(rows)) {
    const cells = FAULTS.map((fault) => cell(found(detector, curves, fault)));
    console.log(
      [name.padEnd(26), ...[...cells, String(alarmsOn(detector, curves))].map((text) => text.padStart(15))].join(''),
    );
  }
  console.log();
}

const choices = [4, 5, 6, 8].flatMap((k) => [1.05, 1.1, 1.15].map((factor) => [k, factor]));
for (const [name, curves] of Object.entries(tuning)) {
  const rows = Object.fromEntries(choices.map(([k, factor]) => [`B1 k=${k}, × ${factor}`, medianSpike(k, factor)]));
  table(`tuning half, ${name}`, rows, curves);
}
for (const [name, curves] of Object.entries(heldOut)) {
  table(`held out, ${name}`, { 'all rules (k=5, × 1.1)': ours, ...BASELINES }, curves);
}
if (spiky) {
  console.log(
    'held out, the mixture of experts that spikes (2.94 at 2360, 3.41 at 3850 among medians of 2.65 and 2.46): alarms',
  );
  for (const [name, detector] of Object.entries({ 'all rules (k=5, × 1.1)': ours, ...BASELINES })) {
    const at = detector(spiky);
    console.log(`${name.padEnd(26)}${String(at.length).padStart(5)}`);
  }
}

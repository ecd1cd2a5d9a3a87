/**
 * The watcher's rules over every loss curve that Megatron-LM's functional tests keep: each loss as the log line Megatron writes for it,
 * through parser, rules and incidents, in the order of the run. Prints what alarmed, and ends with exit code 1 when a curve alarms that
 * is not named below, or one that must does not. Then faults are put into the long calm curves at random places.
 *
 *   node conformance/golden-curves.mjs <folder of a Megatron-LM checkout>… [--places <faults a curve, default 200>]
 *
 * Curves that several checkouts have are taken once. Needs a build. The figures in packages/sdk/README.md are of NVIDIA/Megatron-LM at
 * d98e8a64ddf34856e74b24714e3bedb2f5a39553 and, as curves the rules were not made with, at 69a5c63241026a61de27905ebc8d3ab803d5d51c,
 * 84cf979c766f72dfdc7af73d6b4add5ae952c2da and 4d4621ba088509e9dad349acdde2649f14cf8cd1.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const sdk = join(import.meta.dirname, '../packages/sdk');
const load = (path) => import(pathToFileURL(join(sdk, path)).href);
const { advance, createDetector, createMonitor, observe, parseTrainingLine } = await load('dist/index.js');
const { FAULTS, recallOf, seededRandom } = await load('bench/faults.mjs');
const { megatronLine, parseGoldenLosses } = await load('bench/golden-values.mjs');

/** Curves that are not calm: what they are, the rules that say so and, where it is one place, the place. */
const KNOWN = [
  {
    path: /^mixtral\/mixtral_8x7b_alltoall_tp2pp4ep4_release\/golden_values_0\.11\.0_dgx_a100_lts\.json$/,
    rules: ['B1', 'C1', 'C2'],
    reason: 'its loss falls from 2.9 to 1.6 at iteration 3300, rises to 1.9 until 4800 and falls again',
  },
  {
    path: /^mixtral\/mixtral_8x7b_alltoall_tp2pp4ep4_release\//,
    rules: ['B1'],
    reason: 'a mixture of experts that spikes: losses 10 to 108 % above the median before them',
    mustAlarm: true,
  },
  {
    path: /^t5\/t5_11b_mcore_tp4_pp1\//,
    rules: ['A2'],
    reason: 'losses of 15 to 43 in the first nine iterations, where a uniform guess has 10.3',
  },
  {
    path: /^gpt\/gpt_grpo_tp1tp2_pp1_dp8_583m_throughputtest_github\//,
    rules: ['A1'],
    reason: 'an objective of reinforcement learning; it is negative, and Megatron then writes no loss',
  },
  {
    path: /^gpt\/gpt3_15b_8t_release\//,
    rules: ['B1'],
    iterations: [13_375],
    reason: 'one loss of 2.675 at iteration 13,375 among losses of 2.23 to 2.32, in a run of 2025',
  },
  {
    path: /^t5\/t5_release\/golden_values_0\.11\.0_dgx_a100_lts\.json$/,
    rules: ['B1'],
    iterations: [81_260],
    reason: 'one loss of 2.138 at iteration 81,260 among losses of 1.87 to 2.03',
  },
];
const LONG = 1000;
const { positionals: checkouts, values: options } = parseArgs({
  allowPositionals: true,
  options: { places: { type: 'string', default: '200' } },
});
const places = Number(options.places);
const roots = checkouts.map((checkout) => join(checkout, 'tests/functional_tests/test_cases'));
const missing = roots.filter((root) => !existsSync(root));
if (roots.length === 0 || missing.length > 0) {
  console.error(`give folders of Megatron-LM checkouts${missing.map((root) => `; ${root} is not there`).join('')}`);
  process.exit(2);
}

/** Every signal on a curve that calls for somebody, and how many incidents they open. */
function watch({ losses, lastIteration }) {
  let state = createMonitor();
  const alarms = [];
  let opened = 0;
  for (const { iteration, lmLoss } of losses) {
    const step = advance(state, parseTrainingLine(megatronLine(iteration, lastIteration, lmLoss)));
    state = step.state;
    alarms.push(...step.signals.filter(({ level }) => level !== 'info'));
    opened += step.changes.filter(({ change }) => change === 'opened').length;
  }
  return { alarms, opened };
}

const knownOf = (file) => KNOWN.find(({ path }) => path.test(file));

/** Indices of warnings on losses alone, as the benchmark's fault injection takes them. */
function alarmIndices(losses) {
  let state = createDetector({});
  return losses.flatMap((lmLoss, index) => {
    const step = observe(state, { type: 'iteration', iteration: index + 1, trainIterations: 1e6, lmLoss });
    state = step.state;
    return step.signals.some(({ level }) => level !== 'info') ? [index] : [];
  });
}

let files = 0;
const curves = [];
const seen = new Set();
for (const root of roots) {
  const names = readdirSync(root, { recursive: true })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => /(^|\/)golden_values[^/]*\.json$/.test(name));
  files += names.length;
  for (const file of names.sort()) {
    const parsed = parseGoldenLosses(readFileSync(join(root, file), 'utf8'));
    const content = JSON.stringify(parsed?.losses);
    if (parsed && (roots.length === 1 || !seen.has(content))) curves.push({ file, ...parsed });
    seen.add(content);
  }
}
const count = (numbers) => numbers.reduce((sum, number) => sum + number, 0).toLocaleString('en-US');
const points = curves.map(({ losses }) => losses.length);
console.log(`${files} files of golden values, ${curves.length} loss curves`);
console.log(`${count(points)} losses (${count(curves.map(({ steps }) => steps))} steps; the others were not recorded)`);
console.log(`${points.filter((length) => length >= LONG).length} curves of ${LONG} losses or more`);
console.log(`${points.filter((length) => length <= 16).length} of 16 or fewer: only rules A1 and A2 can speak\n`);

const wrong = [];
/** Long curves without an alarm, for the faults. */
const calm = [];
let alarmed = 0;
for (const curve of curves) {
  const { alarms, opened } = watch(curve);
  const known = knownOf(curve.file);
  const isKnown = alarms.every(
    ({ rule, iteration }) => known?.rules.includes(rule) && (known.iterations?.includes(iteration) ?? true),
  );
  if (!isKnown || (alarms.length === 0 && known?.mustAlarm)) wrong.push(curve.file);
  if (alarms.length === 0) {
    if (curve.losses.length >= LONG) calm.push(curve);
    continue;
  }
  alarmed += 1;
  console.log(`${curve.file}: ${alarms.length} alarms in ${opened} incidents, of ${curve.losses.length} losses`);
  if (isKnown) console.log(`  known: ${known.reason}`);
  for (const rule of new Set(alarms.map((alarm) => alarm.rule))) {
    const own = alarms.filter((alarm) => alarm.rule === rule);
    const at = own.map(({ iteration }) => iteration);
    const rest = at.length > 8 ? ` … (${at.length} in all)` : '';
    console.log(`  ${rule} at ${at.slice(0, 8).join(', ')}${rest}\n    ${own[0].message}`);
  }
}
console.log(`\n${alarmed} curves alarmed, ${curves.length - alarmed} did not; not as expected: ${wrong.length}`);
for (const file of wrong) console.log(`WRONG ${file}`);
process.exitCode = wrong.length > 0 ? 1 : 0;

if (places > 0 && calm.length > 0) {
  console.log(`\nfaults at ${places} places of each of the ${calm.length} calm curves of ${LONG} losses or more`);
  for (const fault of FAULTS) {
    const random = seededRandom(20_260_822);
    const found = calm.map(({ losses }) => {
      const values = losses.map(({ lmLoss }) => lmLoss);
      return recallOf(alarmIndices, values, fault, places, random);
    });
    const recalls = found.map(({ recall }) => recall);
    const delays = found.flatMap(({ medianDelay }) => medianDelay ?? []).sort((a, b) => a - b);
    const mean = recalls.reduce((sum, recall) => sum + recall, 0) / recalls.length;
    const least = Math.min(...recalls);
    const worst = `${least.toFixed(3)} on ${calm[recalls.indexOf(least)].file}`;
    const delay = delays[delays.length >> 1];
    console.log(`${fault.name.padEnd(16)}recall ${mean.toFixed(3)}, median delay ${delay}; ${worst}`);
  }
}

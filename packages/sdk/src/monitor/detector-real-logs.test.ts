import { describe, expect, it } from 'vitest';
import { hasRealLogs, monitorAll, noise, parseLog, realCurve, realLog, seededRandom } from '../../test/real-logs.ts';
import type { IterationLine } from './training-log.ts';

const CALM = 'megatron-golden-gpt3-15b-8t-h100-calm.csv';
const GPT2 = { vocabSize: 50_304 };

/** Lines that were not kept: a calm stretch before an excerpt, as plan-and-monitoring.md §2.2 assumes it. */
function calmBefore(first: IterationLine, loss: number, norm: number): IterationLine[] {
  const random = seededRandom(first.iteration);
  return Array.from({ length: 64 }, (_, index) => ({
    type: 'iteration',
    iteration: first.iteration - 64 + index,
    trainIterations: first.trainIterations,
    lmLoss: noise(random, loss, 0.02),
    gradNorm: noise(random, norm, norm * 0.15),
  }));
}

describe.skipIf(!hasRealLogs)('real runs', () => {
  it('a calm curve of 51,000 iterations raises nothing, not even a note', () => {
    const curve = realCurve(CALM);
    expect(curve.length).toBe(10_173);
    expect(monitorAll(curve).signals).toEqual([]);
  });

  it('the mixture’s spikes, at their iterations and at no others', () => {
    const { alarms, changes } = monitorAll(realCurve('megatron-golden-mixtral8x7b-h100.csv'));
    // Values from the curve itself: 2.94 at 2360 and 3.41 at 3850 among medians of 2.65 and 2.46; every alarm is such a jump.
    expect(alarms.map(({ rule, iteration }) => `${rule} ${iteration}`)).toEqual([
      ...['B1 2360', 'B1 2365', 'B1 2830', 'B1 3800', 'B1 3850', 'B1 4260'],
    ]);
    const opened = changes.filter(({ change }) => change === 'opened').map(({ incident }) => incident.id);
    expect(opened).toEqual(['loss-spike-2360', 'loss-spike-2830', 'loss-spike-3800', 'loss-spike-4260']);
  });

  it('BLOOM: the gradient at 31,215, the loss at 31,216, one incident', () => {
    const lines = parseLog(realLog('bloom176b-2022-spike-31214.log')) as IterationLine[];
    const { signals, changes } = monitorAll([...calmBefore(lines[0] as IterationLine, 2.21, 0.2), ...lines]);
    expect(signals.slice(0, 3).map(({ rule, level, iteration }) => [rule, level, iteration])).toEqual([
      ['B2', 'info', 31_215],
      ['B1', 'warn', 31_216],
      ['B2', 'warn', 31_216],
    ]);
    expect(changes.map(({ change, incident }) => [change, incident.id, incident.onset])).toEqual([
      ['opened', 'loss-spike-31216', 31_215],
      ['recovering', 'loss-spike-31216', 31_215],
    ]);
  });

  it('tr8b-104B: a stale norm at 17,062 as it is, and the loss too after a calm stretch', () => {
    const lines = parseLog(realLog('tr8b-104B-chronicle.log')) as IterationLine[];
    const { signals, changes } = monitorAll(lines, GPT2);
    expect(signals[0]).toMatchObject({ rule: 'D1', level: 'warn', iteration: 17_062, value: 464_441.887 });
    expect(signals.find(({ rule }) => rule === 'D2')).toMatchObject({ iteration: 17_067, value: 4 });
    expect(changes[0]?.incident.id).toBe('skipped-iterations-17062');

    const late = lines.filter(({ iteration }) => iteration >= 17_060);
    const after = monitorAll([...calmBefore(late[0] as IterationLine, 2.665, 450_000), ...late], GPT2);
    expect(after.alarms.filter(({ rule }) => rule === 'B1')[0]?.iteration).toBe(17_062);
    expect(after.signals.some(({ rule }) => rule === 'B2')).toBe(false); // 879,946 is less than twice the usual
  });

  it.each([
    ['megds-2021-gpt2-52B-diverge.log', 3],
    ['megds-2021-gpt2-ds-on-lm-dash-loss.log', 3],
    ['megds-2021-zero-no-consumed-samples.log', 3],
    ['bloom176b-prequel.log', 2],
  ])('%s is worse than a guess from iteration %i', (file, iteration) => {
    const { alarms } = monitorAll(parseLog(realLog(file)), GPT2);
    expect(alarms[0]).toMatchObject({ rule: 'A2', level: 'critical', iteration });
  });

  it('an fp16 run that searches its loss scale raises nothing but its one loss above a guess', () => {
    // Ten skipped iterations without a loss, then 8, then 1; at iteration 30 the loss is 22.5.
    const { signals } = monitorAll(parseLog(realLog('megatron-2021-fp16-skipped-iters.log')), GPT2);
    expect(signals.map(({ rule, iteration }) => `${rule} ${iteration}`)).toEqual(['A2 30']);
  });

  it('NaN runs whose NaN counter is 0', () => {
    const nan = parseLog(realLog('quoted-lines-other-versions.log')) as IterationLine[];
    const found = nan.filter((line) => monitorAll([line]).alarms.some(({ rule }) => rule === 'A1'));
    expect(found.map(({ iteration, nanIterations }) => [iteration, nanIterations])).toEqual([
      [9, 0],
      [5426, 0],
    ]);
  });
});

/** A curve that falls as a power law, with noise of 1 %, as loss curves do. */
function syntheticCurve(length: number): IterationLine[] {
  const random = seededRandom(7);
  return Array.from({ length }, (_, index) => ({
    type: 'iteration',
    iteration: index + 1,
    trainIterations: length,
    lmLoss: (1.8 + 3 * (index + 20) ** -0.4) * noise(random, 1, 0.01),
  }));
}

/** Share of 200 places where a fault is noticed: no alarm before it, one within `lines` lines of it. */
function recallOf(curve: readonly IterationLine[], factors: (index: number) => number, lines: number) {
  const random = seededRandom(20_260_915);
  const delays: number[] = [];
  for (let trial = 0; trial < 200; trial++) {
    const at = 128 + Math.floor(random() * (curve.length - 256));
    const stretch = curve.slice(at - 96, at + lines).map((line, index) => ({
      ...line,
      lmLoss: (line.lmLoss as number) * (index < 96 ? 1 : factors(index - 96)),
    }));
    const first = monitorAll(stretch).alarms[0]?.iteration;
    const delay = stretch.findIndex(({ iteration }) => iteration === first) - 96;
    if (first !== undefined && delay >= 0) delays.push(delay);
  }
  delays.sort((a, b) => a - b);
  return { recall: delays.length / 200, medianDelay: delays[delays.length >> 1] };
}

/** The BLOOM excerpt's losses over the 2.21 before it. */
const BLOOM = [1.005, 1.174, 1.014, 1.061, 2.307, 1.58, 1.454, 1.269];
const FAULTS: [name: string, factors: (index: number) => number, lines: number, least: number, delay: number][] = [
  ['one loss × 1.5', (index) => (index === 0 ? 1.5 : 1), 1, 0.99, 0],
  ['the shape of BLOOM’s', (index) => BLOOM[index] ?? 1, 8, 0.99, 1],
  ['a step × 1.6', () => 1.6, 4, 0.99, 0],
  ['a rise of 1 % a line', (index) => 1.01 ** (index + 1), 20, 0.95, 15],
];
const CURVES: [string, () => IterationLine[]][] = [['a synthetic curve', () => syntheticCurve(4000)]];
if (hasRealLogs) CURVES.push(['the calm curve', () => realCurve(CALM)]);

describe.each(CURVES)('faults at 200 places of %s', (_, curve) => {
  it.each(FAULTS)('%s', (_name, factors, lines, least, delay) => {
    const { recall, medianDelay } = recallOf(curve(), factors, lines);
    expect(recall).toBeGreaterThanOrEqual(least);
    expect(medianDelay).toBeLessThanOrEqual(delay);
  });

  it('and none is seen where none is', () => {
    expect(monitorAll(curve()).alarms).toEqual([]);
  });
});

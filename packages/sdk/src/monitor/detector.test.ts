import { describe, expect, it } from 'vitest';
import { monitorAll } from '../../test/real-logs.ts';
import { createDetector, observe } from './detector.ts';
import type { DetectorConfig, DetectorEvent, Signal } from './detector-state.ts';
import { scheduledRate } from './rules/schedule.ts';
import { type IterationLine, parseTrainingLine } from './training-log.ts';

type Fields = Partial<IterationLine>;

/** A line of a calm run: loss 2.5 and norm 1 with a little movement. */
const line = (iteration: number, fields: Fields = {}): IterationLine => ({
  type: 'iteration',
  iteration,
  trainIterations: 10_000,
  lmLoss: 2.5 + 0.01 * Math.sin(iteration),
  gradNorm: 1 + 0.02 * Math.cos(iteration * 7),
  ...fields,
});

/** Lines from–to, each with the fields that `change` gives it. */
const lines = (from: number, to: number, change: (iteration: number) => Fields = () => ({})): IterationLine[] =>
  Array.from({ length: to - from + 1 }, (_, index) => line(from + index, change(from + index)));

const brief = (signals: readonly Signal[]): string[] =>
  signals.map(({ rule, level, iteration }) => `${rule} ${level} ${iteration}`);
const signalsOf = (events: readonly IterationLine[], config?: DetectorConfig): string[] =>
  brief(monitorAll(events, config).signals);

describe('A: absolute rules', () => {
  it('A1: no loss, a loss or a norm that is no number; not for a cut line nor for skipped iterations', () => {
    const of = (text: string): string[] =>
      signalsOf([line(1), line(2), parseTrainingLine(` iteration 3/ 10000 | ${text}`) as IterationLine]);
    const found = ['A1 critical 3'];
    expect(of('loss scale: 1.0 | number of nan iterations: 0 |')).toEqual(found);
    expect(of('lm loss: nan | loss scale: 1.0 |')).toEqual(found);
    expect(of('lm loss: 2.5E+00 | grad norm: nan |')).toEqual(found);
    expect(of('lm loss: 2.5E+00 | number of nan iterations: 1 |')).toEqual(found);
    expect(of('consumed samples: 24 | learning ra')).toEqual([]);
    expect(of('loss scale: 8.0 | number of skipped iterations: 1 |')).toEqual([]);
  });

  it('A1: at log interval 10, all ten skipped say nothing, nine do', () => {
    const at = (skippedIterations: number) =>
      signalsOf([line(10), line(20), { ...lossless(30), skippedIterations }]).filter((text) => text.startsWith('A1'));
    expect(at(10)).toEqual([]);
    expect(at(9)).toEqual(['A1 critical 30']);
  });

  it('A2: above 1.2 × ln(vocabulary), from iteration 2', () => {
    // 1.2 × ln(152,064) = 14.318…
    const config = { vocabSize: 152_064 };
    expect(signalsOf([line(1, { lmLoss: 14.4 }), line(2, { lmLoss: 14.31 })], config)).toEqual([]);
    expect(signalsOf([line(1), line(2, { lmLoss: 14.32 })], config)).toEqual(['A2 critical 2']);
  });

  it('A3: the first loss of a continued run, against a reference or 6', () => {
    const at = (lmLoss: number, config: DetectorConfig) => signalsOf([line(1, { lmLoss })], config);
    expect(at(6.1, { isContinued: true })).toEqual(['A3 critical 1']);
    expect(at(5.9, { isContinued: true })).toEqual([]);
    expect(at(11.9, { isContinued: false })).toEqual([]);
    expect(at(2.6, { isContinued: true, referenceLoss: 2 })).toEqual(['A3 critical 1']); // 2.5 is the bound
    expect(at(2.4, { isContinued: true, referenceLoss: 2 })).toEqual([]);
    expect(at(5, { isContinued: true, referenceLoss: 4.1 })).toEqual([]); // 5.125 is
    expect(signalsOf([line(1), line(2, { lmLoss: 2.6 })], { isContinued: true, referenceLoss: 2.2 })).toEqual([]);
  });

  it('A4: random weights, only where a base checkpoint was given', () => {
    const at = (config: DetectorConfig) => observe(createDetector(config), { type: 'start-from-random' }).signals;
    expect(at({})).toEqual([]);
    expect(at({ baseCheckpoint: '/base' })).toMatchObject([{ rule: 'A4', level: 'critical' }]);
  });
});

/** A line as Megatron prints it when the loss is not above 0. */
function lossless(iteration: number): IterationLine {
  const { lmLoss, ...rest } = line(iteration);
  return { ...rest, lossScale: 1 };
}

describe('B and C: spikes and trends', () => {
  it('B1 needs 16 values, 10 % and five deviations; the spike does not join the window', () => {
    const spike = (at: number, lmLoss: number) => signalsOf([...lines(1, at - 1), line(at, { lmLoss })]);
    expect(spike(16, 5)).toEqual([]);
    expect(spike(17, 5)).toEqual(['B1 warn 17']);
    expect(spike(40, 2.7)).toEqual([]);
    expect(spike(40, 2.8)).toEqual(['B1 warn 40']);
    const { state } = monitorAll([...lines(1, 40), line(41, { lmLoss: 5 })]);
    expect(Math.max(...state.detector.loss.values)).toBeLessThan(2.6);
  });

  it('B2 is a note alone, a warning twice in a row or with the loss', () => {
    const calm = lines(1, 40);
    const high = { gradNorm: 9 };
    expect(signalsOf([...calm, line(41, high)])).toEqual(['B2 info 41']);
    expect(signalsOf([...calm, line(41, high), line(42, { gradNorm: 9.5 })])).toEqual(['B2 info 41', 'B2 warn 42']);
    expect(signalsOf([...calm, line(41, { lmLoss: 4 }), line(42), line(43, high)])).toEqual([
      'B1 warn 41',
      'B2 warn 43',
    ]);
  });

  it('B2 does not compare a norm that was not computed', () => {
    expect(signalsOf(lines(1, 60, (iteration) => ({ gradNorm: iteration % 3 === 0 ? 1.01 : 0 })))).toEqual([]);
    const stale = [...lines(1, 40), line(41, { gradNorm: 9 }), line(42, { gradNorm: 9 })];
    expect(signalsOf(stale)).toEqual(['B2 info 41']);
  });

  it('C1: a loss that stays up is critical after 17 lines, and after 32 it is the new level', () => {
    const signals = signalsOf([...lines(1, 100), ...lines(101, 200, () => ({ lmLoss: 3.5 }))]);
    const spikes = signals.filter((text) => text.startsWith('B1'));
    expect(spikes).toHaveLength(32);
    expect(spikes.at(-1)).toBe('B1 warn 132');
    const [first, second] = signals.filter((text) => text.startsWith('C1'));
    expect(Number(first?.split(' ')[2])).toBeGreaterThanOrEqual(117);
    expect(Number(first?.split(' ')[2])).toBeLessThanOrEqual(121);
    expect(second).toBe('C1 critical 132');
  });

  it('C1 does not follow one high loss', () => {
    const signals = signalsOf([...lines(1, 100), line(101, { lmLoss: 11 }), ...lines(102, 200)]);
    expect(signals).toEqual(['B1 warn 101']);
  });

  it('C2: a slow rise to 10 % over the lowest, for 16 lines', () => {
    // 0.05 % a line: no line is a spike. 1.1 × is reached at ln(1.1)/ln(1.0005) = 191 lines after the start.
    const signals = signalsOf(lines(1, 400, (iteration) => ({ lmLoss: 2.5 * 1.0005 ** Math.max(0, iteration - 100) })));
    const drift = signals.filter((text) => text.startsWith('C2'));
    const first = Number(drift[0]?.split(' ')[2]);
    expect(first).toBeGreaterThan(300);
    expect(first).toBeLessThan(330);
    expect(signals.filter((text) => text.startsWith('B1'))).toEqual([]);
  });

  it('C3: a note for a loss that does not fall while the rate is high', () => {
    const falling = (rate: number) => lines(1, 1100, () => ({ learningRate: rate }));
    expect(signalsOf(falling(5e-5))).toEqual(['C3 info 516', 'C3 info 1016']); // 5 % of 10,000 from the 16th line
    const late = [...lines(1, 20, () => ({ learningRate: 5e-5 })), ...lines(21, 700, () => ({ learningRate: 1e-6 }))];
    expect(signalsOf(late)).toEqual([]);
  });
});

describe('D: precision', () => {
  it('D1: three skipped in a row, or more than five of a hundred', () => {
    const skips = (...at: number[]) =>
      signalsOf(lines(1, 200, (iteration) => ({ skippedIterations: at.includes(iteration) ? 1 : 0 })));
    expect(skips(100, 101)).toEqual([]);
    expect(skips(100, 101, 102)).toEqual(['D1 warn 102']);
    expect(skips(100, 110, 120, 130, 140)).toEqual([]);
    expect(skips(100, 110, 120, 130, 140, 150)).toEqual(['D1 warn 150']);
    expect(skips(100, 110, 120, 130, 140, 200)).toEqual([]); // the first is a hundred ago
  });

  it('D1: a long norm that repeats at once, a short one only many times', () => {
    const repeats = (gradNorm: number, times: number) =>
      signalsOf([...lines(1, 10), ...lines(11, 11 + times, () => ({ gradNorm }))]).filter((text) =>
        text.startsWith('D1'),
      );
    expect(repeats(464_441.887, 1)).toEqual(['D1 warn 12']);
    expect(repeats(0.242, 3)).toEqual([]);
    expect(repeats(0.242, 8).length).toBeGreaterThan(0);
  });

  it('D2: four halvings in 20 iterations, or the minimum', () => {
    const scales = (scale: (iteration: number) => number) =>
      signalsOf(lines(1, 200, (iteration) => ({ lossScale: scale(iteration), skippedIterations: 0 })));
    const halved = (...at: number[]) =>
      scales((now) => 65_536 / 2 ** at.filter((iteration) => iteration <= now).length);
    expect(halved(100, 105, 110)).toEqual([]);
    expect(halved(100, 105, 110, 115)).toEqual(['D2 warn 115']);
    expect(halved(100, 105, 110, 120)).toEqual([]);
    expect(scales((iteration) => (iteration < 100 ? 2 : 1))).toEqual(['D2 warn 100']);
    expect(scales(() => 1)).toEqual([]); // bf16
    expect(scales(() => -1)).toEqual([]);
  });
});

describe('E: schedule and counters', () => {
  const learningRate = { peak: 5e-5, min: 5e-6, warmupIterations: 10, decayIterations: 100 };

  it('knows Megatron’s schedule', () => {
    // By hand: half the warm-up; half the cosine, (5e-5 + 5e-6) / 2; the floor.
    expect(scheduledRate(5, learningRate)).toBeCloseTo(2.5e-5, 12);
    expect(scheduledRate(55, learningRate)).toBeCloseTo(2.75e-5, 12);
    expect(scheduledRate(101, learningRate)).toBe(5e-6);
  });

  it('E1: a rate that is not the schedule’s; skipped iterations hold it back', () => {
    const with_ = (rate: (iteration: number) => number, more: Fields = {}) =>
      signalsOf(
        lines(1, 60, (iteration) => ({ learningRate: rate(iteration), ...more })),
        { learningRate },
      );
    expect(with_((iteration) => scheduledRate(iteration, learningRate))).toEqual([]);
    expect(with_((iteration) => scheduledRate(iteration - 1, learningRate))).toEqual([]);
    expect(with_((iteration) => scheduledRate(iteration, learningRate) * (iteration === 50 ? 1.05 : 1))).toEqual([
      'E1 warn 50',
    ]);
    const held = lines(1, 60, (iteration) => ({
      learningRate: scheduledRate(Math.max(0, iteration - 4), learningRate),
      skippedIterations: iteration <= 4 ? 1 : 0,
      lossScale: 2 ** 20,
    }));
    expect(signalsOf(held, { learningRate })).toEqual([]);
  });

  it('E2: a restart is noted, rules that compare begin anew, the same line twice is one', () => {
    const again = [...lines(1, 60), ...lines(41, 56, () => ({ lmLoss: 4 }))];
    expect(signalsOf(again)).toEqual(['E2 info 41']);
    expect(signalsOf([line(1), line(1), line(2), line(2)])).toEqual([]);
    const nan = [line(1), lossless(2), lossless(2)];
    expect(signalsOf(nan)).toEqual(['A1 critical 2']);
  });

  it('E1 after a restart that lost the scheduler, without a schedule', () => {
    const first = lines(1, 60, () => ({ learningRate: 4e-5 }));
    const then = (rate: number) => [line(50, { learningRate: rate, lmLoss: 2.51 })];
    expect(signalsOf([...first, ...then(1e-6)])).toEqual(['E2 info 50', 'E1 warn 50']);
    expect(signalsOf([...first, ...then(3.9e-5)])).toEqual(['E2 info 50']);
  });

  it('E2: samples and totals that do not go on', () => {
    const counted = (iteration: number, more: Fields = {}) =>
      line(iteration, { consumedSamples: iteration * 8, globalBatchSize: 8, ...more });
    expect(signalsOf([counted(1), counted(2), counted(5)])).toEqual([]);
    expect(signalsOf([counted(1), counted(2, { consumedSamples: 24 })])).toEqual(['E2 info 2']);
    expect(signalsOf([counted(1), counted(2, { globalBatchSize: 16, consumedSamples: 24 })])).toEqual([]); // ramp-up
    expect(signalsOf([counted(1), counted(2, { trainIterations: 9 })])).toEqual(['E2 info 2']);
  });
});

describe('F: pace', () => {
  /** The signals of a tick so many seconds after the last of these lines, which came at 0. */
  const silence = (events: readonly IterationLine[], seconds: number) => {
    let state = createDetector();
    for (const event of events) state = observe(state, event, 0).state;
    return brief(observe(state, { type: 'tick', atMs: seconds * 1000 }).signals);
  };

  it('F1: 300 s, or five steps, but before AIMaster’s 1800 s; never before the first iteration', () => {
    expect(silence(lines(1, 5), 300)).toEqual([]);
    expect(silence(lines(1, 5), 301)).toEqual(['F1 warn 5']);
    expect(silence(lines(1, 5), 601)).toEqual(['F1 critical 5']);
    const slow = lines(1, 5, () => ({ elapsedMs: 100_000 }));
    expect(silence(slow, 499)).toEqual([]);
    expect(silence(slow, 501)).toEqual(['F1 warn 5']);
    const verySlow = lines(1, 5, () => ({ elapsedMs: 400_000 }));
    expect(silence(verySlow, 1501)).toEqual(['F1 warn 5']);
    expect(silence(verySlow, 1701)).toEqual(['F1 critical 5']);
    expect(silence([line(10, { elapsedMs: 20_000 }), line(20, { elapsedMs: 20_000 })], 900)).toEqual([]); // 5 × 10 × 20 s
    expect(silence([], 9999)).toEqual([]);
  });

  it('F1: a job that changes its phase is not silent, it is starting', () => {
    let { state } = observe(createDetector(), line(1), 0);
    const phase: DetectorEvent = { type: 'phase-change', phase: 'pending', status: 'Queuing', at: '' };
    state = observe(state, phase, 1000).state;
    expect(observe(state, { type: 'tick', atMs: 1e7 }).signals).toEqual([]);
  });

  it('F2: the median of 16 steps is 30 % above the best; a larger batch is not slow', () => {
    const paced = (ms: number, globalBatchSize = 8) =>
      signalsOf([
        ...lines(1, 30, () => ({ elapsedMs: 1000, globalBatchSize: 8 })),
        ...lines(31, 60, () => ({ elapsedMs: ms, globalBatchSize })),
      ]);
    expect(paced(1290)).toEqual([]);
    expect(paced(1310)[0]).toBe('F2 warn 39'); // nine of sixteen
    expect(paced(2000, 16)).toEqual([]);
  });
});

it('keeps a state of constant size that JSON carries', () => {
  const noisy = (count: number) =>
    monitorAll(
      lines(1, count, (iteration) => ({
        skippedIterations: iteration % 7 === 0 ? 1 : 0,
        lossScale: 2 ** (iteration % 5),
        lmLoss: iteration % 11 === 0 ? Number.NaN : 2.5,
      })),
    ).state;
  const [short, long] = [noisy(1000), noisy(20_000)].map((state) => JSON.stringify(state).length) as [number, number];
  expect(long).toBeLessThan(short * 1.2);
  const state = noisy(1000);
  expect(JSON.parse(JSON.stringify(state))).toEqual(state);
});

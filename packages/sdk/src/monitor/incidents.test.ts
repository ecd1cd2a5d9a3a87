import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasRealLogs, monitorAll, realLog } from '../../test/real-logs.ts';
import type { DetectorConfig } from './detector-state.ts';
import { advance, createMonitor, type IncidentEvent, type MonitorState } from './incidents.ts';
import { parseTrainingLine } from './training-log.ts';

/** Megatron's lines of a calm run with some of them changed, and a checkpoint every 20 iterations. */
function logOf(count: number, changes: Record<number, { loss?: number | null; norm?: number }> = {}): string {
  const lines: string[] = [];
  for (let iteration = 1; iteration <= count; iteration++) {
    const { loss = 2.5 + 0.01 * Math.sin(iteration), norm = 1 + 0.02 * Math.cos(iteration * 7) } =
      changes[iteration] ?? {};
    const text = loss === null ? '' : ` lm loss: ${loss.toExponential(6)} |`;
    lines.push(
      ` iteration ${String(iteration).padStart(8)}/    1000 | consumed samples: ${iteration * 8} | learning rate: 4.000E-05 | global batch size:     8 |${text} loss scale: 1.0 | grad norm: ${norm.toFixed(3)} | number of nan iterations:   0 |`,
    );
    if (iteration % 20 === 0) {
      lines.push(`  successfully saved checkpoint from iteration ${iteration} to /out/run [ t 1/1, p 1/1 ]`);
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

const eventsOf = (text: string) => text.split('\n').flatMap((line) => parseTrainingLine(line) ?? []);
const changesOf = (text: string, config: DetectorConfig = {}) => monitorAll(eventsOf(text), config).changes;
const brief = (changes: readonly IncidentEvent[]): string[] =>
  changes.map(({ change, incident }) => `${change} ${incident.id}`);

describe('incidents', () => {
  it('a spike that heals: one incident, from its first sign to 32 quiet lines', () => {
    const text = logOf(130, { 69: { norm: 5 }, 70: { loss: 3.5, norm: 40 }, 71: { loss: 3.2 }, 75: { loss: 3 } });
    const changes = changesOf(text);
    expect(brief(changes)).toEqual([
      ...['opened loss-spike-70', 'recovering loss-spike-70', 'reopened loss-spike-70'],
      ...['recovering loss-spike-70', 'closed loss-spike-70'],
    ]);
    const [opened] = changes;
    expect(opened?.incident).toMatchObject({
      ...{ kind: 'loss-spike', level: 'warn', state: 'open', onset: 69, openedAt: 70, title: 'the loss jumped' },
      checkpoint: { iteration: 60, directory: '/out/run' },
    });
    const closed = changes.at(-1)?.incident;
    expect(closed).toMatchObject({ state: 'closed', lastIteration: 75 });
    expect(
      closed?.evidence.map(({ rule, firstIteration, lastIteration, count, value }) => [
        ...[rule, firstIteration, lastIteration, count, value],
      ]),
    ).toEqual([
      ['B2', 69, 70, 2, 40],
      ['B1', 70, 75, 3, 3.5],
    ]);
  });

  it('proposes to go back, to leave out the data, and names the learning rate', () => {
    const learningRate = { peak: 5e-5, min: 5e-6, warmupIterations: 10, decayIterations: 1000 };
    const high = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [200 + index, { loss: 4 }]));
    const changes = changesOf(logOf(259, high), { learningRate }).filter(
      ({ incident }) => incident.kind === 'loss-spike',
    );
    expect(changes[0]?.incident.proposal).toEqual({
      action: expect.stringContaining(
        'start again from the checkpoint of iteration 180 and lower the learning rate from 0.00005 to 0.000045',
      ),
      rollback: { iteration: 180, directory: '/out/run' },
      // From the iteration after the checkpoint to 100 past the spike; 8 samples each.
      skipData: { fromIteration: 181, toIteration: 300, fromSample: 1440, toSample: 2400 },
      learningRate: { factor: 0.9, from: 5e-5, to: 4.5e-5 },
    });
    const diverged = changes.find(({ change }) => change === 'diverged');
    expect(diverged?.incident).toMatchObject({ state: 'diverged', level: 'critical' });
    expect(diverged?.incident.proposal.learningRate).toEqual({ factor: 0.5, from: 5e-5, to: 2.5e-5 });
  });

  it('goes back to the base where nothing was saved before', () => {
    const [change] = changesOf(logOf(18, { 17: { loss: null } }), { baseCheckpoint: '/base' });
    expect(change).toMatchObject({
      change: 'opened',
      incident: { kind: 'not-a-number', level: 'critical', checkpoint: { iteration: 0, directory: '/base' } },
    });
    const [without] = changesOf(logOf(18, { 17: { loss: null } }));
    expect(without?.incident).not.toHaveProperty('checkpoint');
    expect(without?.incident.proposal.action).toContain('the start, for there is no checkpoint');
  });

  it('calls once, however many lines are bad, and holds one of each kind', () => {
    const bad = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [50 + index, { loss: null }]));
    expect(brief(changesOf(logOf(149, bad)))).toEqual(['opened not-a-number-50']);
    const events = eventsOf(logOf(400, { ...bad, 300: { loss: 9 }, 301: { loss: null } }));
    let state = createMonitor();
    for (const event of events) {
      state = advance(state, event).state;
      const kinds = state.open.map(({ incident }) => incident.kind);
      expect(new Set(kinds).size).toBe(kinds.length);
    }
  });

  it('tells when it gets worse', () => {
    let state = createMonitor();
    for (const event of eventsOf(logOf(3))) state = advance(state, event, 0).state;
    const at = (seconds: number) => {
      const step = advance(state, { type: 'tick', atMs: seconds * 1000 });
      state = step.state;
      return brief(step.changes);
    };
    expect([at(200), at(400), at(500), at(700), at(800)]).toEqual([
      ...[[], ['opened hang-3'], [], ['escalated hang-3'], []],
    ]);
    const [next] = eventsOf(' iteration 4/ 1000 | lm loss: 2.5E+00 | grad norm: 1.0 |');
    expect(brief(advance(state, next as never, 900_000).changes)).toEqual(['closed hang-3']);
  });

  it('a checkpoint written again after a restart replaces those after it', () => {
    const saved = (iteration: number) => ({
      type: 'checkpoint-saved' as const,
      iteration,
      directory: `/out/${iteration}`,
    });
    const { state } = monitorAll([saved(100), saved(200), saved(300), saved(150)]);
    expect(state.checkpoints.map(({ iteration }) => iteration)).toEqual([100, 150]);
  });
});

/** A reader that is stopped at some bytes and goes on from what it saved as JSON. */
function readInParts(bytes: Buffer, cuts: readonly number[]): string[] {
  let saved = JSON.stringify({ monitor: createMonitor({ vocabSize: 50_304 }), rest: '' });
  const told: string[] = [];
  const edges = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  for (let part = 1; part < edges.length; part++) {
    let { monitor, rest } = JSON.parse(saved) as { monitor: MonitorState; rest: string };
    const lines = (rest + bytes.toString('latin1', edges[part - 1], edges[part])).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) {
      const event = parseTrainingLine(line);
      if (!event) continue;
      const step = advance(monitor, event);
      monitor = step.state;
      told.push(...step.changes.map((change) => JSON.stringify(change)));
    }
    saved = JSON.stringify({ monitor, rest });
  }
  return told;
}

describe('a damaged log', () => {
  const text = logOf(130, { 70: { loss: 3.5 }, 71: { loss: 3.2 } });
  const told = brief(changesOf(text));

  it.each<[string, (lines: string[]) => string[]]>([
    ['carriage returns', (lines) => lines.map((line) => `${line}\r`)],
    ['terminal colours', (lines) => lines.map((line) => `\u001b[32mworker-0 |\u001b[0m ${line}`)],
    ['every line from two ranks', (lines) => lines.flatMap((line) => [`[default6]:${line}`, `[default7]:${line}`])],
    ['a line of 10 MB', (lines) => lines.toSpliced(50, 0, ` iteration 50/ 1000 | ${'x'.repeat(1e7)}`)],
    ['lines cut at any place', (lines) => lines.map((line, at) => (at % 20 === 5 ? line.slice(0, at) : line))],
    ['noise between', (lines) => lines.flatMap((line) => ['time (ms) | forward-compute: 53.79', line])],
  ])('with %s tells the same', (_, damage) => {
    expect(brief(changesOf(damage(text.split('\n')).join('\n')))).toEqual(told);
  });
});

describe('a log cut at any byte and read on from the saved state', () => {
  const texts: [string, () => string][] = [
    [
      'spikes, NaN and a restart',
      () => logOf(120, { 60: { norm: 30 }, 61: { loss: 4 }, 62: { loss: 4 }, 90: { loss: null } }) + logOf(70),
    ],
  ];
  if (hasRealLogs) {
    for (const name of [
      'megds-2021-gpt2-52B-diverge.log',
      'tr8b-104B-chronicle.log',
      'quoted-lines-other-versions.log',
    ]) {
      texts.push([name, () => realLog(name)]);
    }
  }
  it.each(texts)('%s gives the same incidents', (_, text) => {
    const bytes = Buffer.from(text());
    const whole = readInParts(bytes, []);
    expect(whole.length).toBeGreaterThan(0);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { minLength: 1, maxLength: 4 }), (cuts) => {
        expect(readInParts(bytes, cuts)).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });
});

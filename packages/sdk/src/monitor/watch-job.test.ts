import { describe, expect, it } from 'vitest';
import { sample72B } from '../../test/sample-specs.ts';
import { LogStore, pod, wireJob } from '../../test/scripted-job.ts';
import { manualClock, paiError, type Script, scriptedPai } from '../../test/scripted-pai.ts';
import type { PaiTransport } from '../pai-transport.ts';
import { parseRunSpec } from '../run-spec.ts';
import { createMonitor, type MonitorState } from './incidents.ts';
import { detectorConfigOf, type WatchEvent, type WatchOptions, watchJob } from './watch-job.ts';

const lossLine = (iteration: number, loss: number): string =>
  ` iteration ${iteration}/ 100 | consumed samples: ${iteration * 8} | lm loss: ${loss.toExponential(6)} | grad norm: 1.000 | number of nan iterations:   0 |`;

/** A job that writes these lines, one a look, and runs until it is stopped or has written them all and `idle` looks more. */
function watchedJob(
  lines: readonly string[],
  {
    idle = 0,
    refuseStops = 0,
    metrics,
  }: { idle?: number; refuseStops?: number; metrics?: Script['GetJobMetrics'] } = {},
) {
  const clock = manualClock();
  const store = new LogStore(clock.now);
  const written = [...lines];
  let stops = 0;
  let isStopped = false;
  let quiet = 0;
  const pods = [pod('worker-0')];
  const pai: PaiTransport = scriptedPai({
    GetJob: () => {
      const next = written.shift();
      if (next !== undefined) store.write('uid-worker-0', next);
      else quiet += 1;
      if (isStopped) return wireJob('Stopped', pods, { ReasonCode: 'JobStoppedByUser' });
      return wireJob(next === undefined && quiet > idle ? 'Succeeded' : 'Running', pods);
    },
    GetPodLogs: (input) => store.answer(input, () => 'uid-worker-0'),
    ...(metrics ? { GetJobMetrics: metrics } : {}),
  });
  const stop = async () => {
    stops += 1;
    if (stops <= refuseStops) throw paiError('CPT_PAI_UNAVAILABLE', { status: 503 });
    isStopped = true;
  };
  const watch = async (options: WatchOptions = {}) => {
    const events: WatchEvent[] = [];
    for await (const event of watchJob(pai, 'dlc1', stop, { clock, pollMs: 1000, ...options })) {
      events.push(event);
      if (events.length > 500) throw new Error('it does not end');
    }
    return events;
  };
  return { watch, stops: () => stops };
}

const brief = (events: readonly WatchEvent[]): string[] =>
  events.map((event) => {
    if (event.type === 'incident') return `${event.change} ${event.incident.id}`;
    if (event.type === 'iteration') return String(event.iteration);
    if (event.type === 'stop-requested') return `stop ${event.rule}`;
    return event.type === 'end' ? `end ${event.phase}` : event.type;
  });

const calm = (count: number): string[] => Array.from({ length: count }, (_, index) => lossLine(index + 1, 2.5));

describe('watchJob', () => {
  it('tells an incident after the line that caused it, and lets the job run', async () => {
    const job = watchedJob([...calm(20), lossLine(21, 5), lossLine(22, 2.5)]);
    const events = brief(await job.watch());
    expect(events.slice(events.indexOf('20'))).toEqual([
      ...['20', '21', 'opened loss-spike-21', '22', 'recovering loss-spike-21', 'phase-change', 'end succeeded'],
    ]);
    expect(job.stops()).toBe(0);
  });

  it('stops the job at its first loss, when that is not one of trained weights', async () => {
    const job = watchedJob([lossLine(1, 11.9), lossLine(2, 11.8), lossLine(3, 11.7)], { idle: 50 });
    const events = await job.watch({ detector: { isContinued: true }, stopOn: ['A3'] });
    expect(brief(events)).toEqual([
      ...['phase-change', '1', 'opened wrong-start-1', 'stop A3', '2', 'phase-change', 'end stopped'],
    ]);
    expect(events.find(({ type }) => type === 'stop-requested')).toMatchObject({
      message: expect.stringContaining('first lm loss 11.9 > 6.000'),
    });
    expect(job.stops()).toBe(1);
  });

  it('stops again when PAI could not be asked, and once only when it could', async () => {
    const job = watchedJob([lossLine(1, 11.9)], { idle: 50, refuseStops: 2 });
    const events = await job.watch({ detector: { isContinued: true }, stopOn: ['A3'] });
    expect(job.stops()).toBe(3);
    expect(events.filter(({ type }) => type === 'stop-requested')).toHaveLength(1);
  });

  it('notices random weights where a base was given', async () => {
    const text = '    will not load any checkpoints and will start from random';
    const job = watchedJob([text, lossLine(1, 12)]);
    const events = await job.watch({ detector: { baseCheckpoint: '/base' } });
    const [incident] = events.filter((event) => event.type === 'incident');
    expect(incident?.incident).toMatchObject({ kind: 'wrong-start', level: 'critical' });
    expect(incident?.incident.evidence[0]).toMatchObject({ rule: 'A4', message: expect.stringContaining('/base') });
    expect((await watchedJob([text, lossLine(1, 12)]).watch()).filter(({ type }) => type === 'incident')).toEqual([]);
  });

  it('notices silence, though the job says nothing', async () => {
    const job = watchedJob(calm(3), { idle: 400 });
    const events = brief(await job.watch());
    expect(events).toContain('opened hang-3');
    expect(events).not.toContain('escalated hang-3'); // 400 s of silence are not 600
  });

  it('tells what the pods use, and opens an incident for idle GPUs', async () => {
    const job = watchedJob(calm(6), {
      idle: 20,
      metrics: ({ query }, calls) => {
        if (calls === 3) throw paiError('CPT_PAI_UNAVAILABLE', { status: 503 });
        const Value = query.MetricType === 'GpuCoreUsage' ? 4 : 50;
        return { PodMetrics: [{ PodId: 'dlc1-worker-0', Metrics: [{ Time: 0, Value }] }] };
      },
    });
    const events = await job.watch({ metricsEveryMs: 5000 });
    const uses = events.filter((event) => event.type === 'metrics');
    expect(uses[0]?.pods).toMatchObject([{ podId: 'dlc1-worker-0', gpuPercent: 4, cpuPercent: 50 }]);
    expect(brief(events)).toContain('opened idle-gpu-6'); // the third look that was answered
  });

  it('tells once that PAI refuses metrics, and asks no more', async () => {
    const refusal = () => {
      throw paiError('CPT_PAI_FORBIDDEN', { status: 403 });
    };
    const events = await watchedJob(calm(3), { idle: 20, metrics: refusal }).watch({ metricsEveryMs: 2000 });
    const warnings = events.filter((event) => event.type === 'warning');
    expect(warnings).toMatchObject([{ code: 'metrics-unavailable' }]);
    expect(events.at(-1)).toMatchObject({ type: 'end', phase: 'succeeded' });
  });

  it('goes on from the state of an earlier watcher', async () => {
    let state: MonitorState = createMonitor();
    const keep = (next: MonitorState): void => {
      state = JSON.parse(JSON.stringify(next));
    };
    await watchedJob(calm(20)).watch({ onState: keep });
    const events = await watchedJob([lossLine(21, 5)]).watch({ state });
    expect(brief(events)).toContain('opened loss-spike-21');
    expect(brief(await watchedJob([lossLine(21, 5)]).watch())).not.toContain('opened loss-spike-21');
  });
});

it('a specification tells vocabulary, schedule and base', () => {
  // 50 iterations, 5 of warm-up: the guide's run, as worked in plan.test.ts.
  expect(detectorConfigOf(parseRunSpec(sample72B))).toEqual({
    vocabSize: 152_064,
    baseCheckpoint: '/mnt/data/qwen2-72b-mcore-tp8-pp4',
    isContinued: true,
    learningRate: { peak: 5e-5, min: 5e-6, warmupIterations: 5, decayIterations: 50 },
  });
});

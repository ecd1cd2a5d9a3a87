import type { Clock } from './clock.ts';
import { instancesFor, parseScalingRule, type Recommendation, type ScalingRule, stabilize } from './scaling-rule.ts';
import type { ServiceRecord } from './state.ts';

/** How often load is looked at, as the horizontal autoscaler of Kubernetes does. */
export const SCALER_PERIOD_MS = 15_000;

/** What is known of the load of a service. */
export interface ServiceLoad {
  /** Requests that the gateway has had for it so far. */
  readonly requests: number;
  /** Percent of this machine that all its instances took since a time; `undefined` while nothing was sampled. */
  cpuPercent(since: number): number | undefined;
  readonly instances: number;
}

/** What an auto scaler last saw of one metric, as a mean over the instances. */
export interface CurrentMetric {
  readonly metricName: string;
  readonly service: string;
  readonly value: number;
}

/** The auto scaler of one service; without a rule in the service's record it does nothing. */
export interface AutoScaler {
  /** Looks at the load every 15 seconds until the signal ends it. */
  run(signal: AbortSignal): Promise<void>;
  /** A request has come; a service that sleeps wakes up for it. */
  onRequest(): void;
  current(): readonly CurrentMetric[];
}

/** Where an auto scaler tells what it does. */
export interface ScalerReport {
  scale(instances: number, why: string): void;
  warn(reason: string, message: string): void;
}

interface Watch {
  readonly body: Readonly<Record<string, unknown>>;
  readonly rule: ScalingRule;
  history: Recommendation[];
  /** When it last looked, and how many requests each strategy's service had had by then. */
  lookedAt: number;
  requests: (number | undefined)[];
  idleSince: number;
  current: CurrentMetric[];
  hasWarned: boolean;
}

/** An auto scaler that asks `loadOf` for the load of its own or of another service; `undefined` when that does not run. */
export function createAutoScaler(
  clock: Clock,
  service: ServiceRecord,
  loadOf: (name: string) => ServiceLoad | undefined,
  report: ScalerReport,
): AutoScaler {
  let watch: Watch | undefined;
  const totalRequests = ({ strategies }: ScalingRule) =>
    strategies.map((strategy) => loadOf(strategy.service ?? service.name)?.requests);

  /** The rule that is in force; a new one begins with an empty memory. */
  function watchRule(): Watch | undefined {
    const body = service.autoScaler;
    if (body === watch?.body) return watch;
    if (body === undefined) {
      watch = undefined;
      return undefined;
    }
    const rule = parseScalingRule(body);
    const now = clock.now();
    watch = {
      ...{ body, rule, lookedAt: now, idleSince: now, current: [], hasWarned: false },
      history: [{ at: now, wanted: service.instances }],
      requests: totalRequests(rule),
    };
    return watch;
  }

  function measure(present: Watch, now: number): (number | undefined)[] {
    const seconds = (now - present.lookedAt) / 1000;
    const requests = totalRequests(present.rule);
    const totals = present.rule.strategies.map(({ metric, service: other = service.name }, at) => {
      const [before, after] = [present.requests[at], requests[at]];
      if (metric === 'cpu') return loadOf(other)?.cpuPercent(present.lookedAt);
      if (metric === 'qps' && before !== undefined && after !== undefined) return (after - before) / seconds;
      return undefined;
    });
    Object.assign(present, { lookedAt: now, requests });
    present.current = present.rule.strategies.flatMap(({ metric, service: other = service.name }, at) => {
      const total = totals[at];
      const instances = Math.max(1, loadOf(other)?.instances ?? 1);
      return total === undefined ? [] : [{ metricName: metric, service: other, value: total / instances }];
    });
    return totals;
  }

  function look(): void {
    const present = watchRule();
    const now = clock.now();
    if (!present || now <= present.lookedAt) return;
    if (service.status !== 'Running' && service.status !== 'Scaling') return;
    const { rule } = present;
    const totals = measure(present, now);
    const missing = rule.strategies.filter((_, at) => totals[at] === undefined).map(({ metric }) => metric);
    if (missing.length > 0 && service.instances > 0 && !present.hasWarned) {
      present.hasWarned = true;
      report.warn('FailedGetMetric', `Auto scaler: ${missing.join(', ')} cannot be measured here`);
    }
    const mayClose = rule.min === 0 && now - present.idleSince >= rule.zeroGraceMs;
    // Asleep it stays so until a request comes.
    const wanted = service.instances === 0 ? rule.min : (instancesFor(rule, totals) ?? service.instances);
    const kept = Math.max(rule.upWindowMs, rule.downWindowMs);
    present.history = [...present.history.filter(({ at }) => at > now - kept), { at: now, wanted }];
    const next = mayClose
      ? 0
      : Math.min(rule.max, Math.max(rule.min, stabilize(rule, present.history, service.instances, now)));
    if (next !== service.instances) report.scale(next, describe(present, service.instances, next));
  }

  return {
    async run(signal) {
      while (!signal.aborted) {
        look();
        await clock.sleep(SCALER_PERIOD_MS, signal).catch(() => {}); // only the signal ends a sleep
      }
    },
    onRequest() {
      const present = watchRule();
      if (!present) return;
      present.idleSince = clock.now();
      const { activationInstances } = present.rule;
      if (service.instances > 0 || service.status !== 'Running') return;
      present.history.push({ at: clock.now(), wanted: activationInstances });
      report.scale(activationInstances, `Auto scaler: a request came, from 0 to ${activationInstances} instances`);
    },
    current: () => (service.autoScaler === watch?.body ? (watch?.current ?? []) : []),
  };
}

function describe({ rule, current }: Watch, from: number, to: number): string {
  const metrics = current.map(({ metricName, service, value }) => {
    const { threshold } = rule.strategies.find((one) => one.metric === metricName) ?? {};
    return `${metricName} of ${service} is ${Number(value.toFixed(2))} an instance (threshold ${threshold})`;
  });
  return `Auto scaler: ${[...metrics, `from ${from} to ${to} instances`].join(', ')}`;
}

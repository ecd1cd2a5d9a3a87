import { invalidParameter, missingParameter } from './api-error.ts';
import { isRecord } from './parameters.ts';
import { MAX_INSTANCES } from './service-request.ts';

const METRICS = ['qps', 'cpu', 'gpu', 'gpu[util]'] as const;

/** The body of CreateServiceAutoScaler, read; times in milliseconds. */
export interface ScalingRule {
  readonly min: number;
  readonly max: number;
  /** Of one instance: requests a second, or percent. Without a service the metric is of the service itself. */
  readonly strategies: readonly { metric: (typeof METRICS)[number]; threshold: number; service?: string }[];
  /** How long more must have been wanted before instances are added, and less before they go. */
  readonly upWindowMs: number;
  readonly downWindowMs: number;
  /** How long no request must have come before the last instance goes, and how many come with the first one after. */
  readonly zeroGraceMs: number;
  readonly activationInstances: number;
}

/** Checks the body of an auto scaler and reads it. @throws ApiError `MissingParameter` or `InvalidParameter` */
export function parseScalingRule(body: Readonly<Record<string, unknown>>): ScalingRule {
  const { min, max, scaleStrategies } = body;
  for (const name of ['min', 'max', 'scaleStrategies']) if (body[name] === undefined) throw missingParameter(name);
  if (!(isCount(min) && isCount(max) && max >= min && max >= 1 && max <= MAX_INSTANCES)) {
    throw invalidParameter(
      `min is ${JSON.stringify(min)} and max ${JSON.stringify(max)}; 0 <= min <= max, and pai-local runs 1 to ${MAX_INSTANCES}.`,
    );
  }
  if (!Array.isArray(scaleStrategies) || scaleStrategies.length === 0) {
    throw invalidParameter('scaleStrategies is not a list of {metricName, threshold}.');
  }
  return {
    min,
    max,
    strategies: scaleStrategies.map(parseStrategy),
    upWindowMs: readSeconds(body, 'scaleUp', 'stabilizationWindowSeconds', 0),
    downWindowMs: readSeconds(body, 'scaleDown', 'stabilizationWindowSeconds', 300),
    zeroGraceMs: readSeconds(body, 'onZero', 'scaleDownGracePeriodSeconds', 600),
    activationInstances: Math.min(max, Math.max(1, readBehavior(body, 'onZero', 'scaleUpActivationReplicas', 1))),
  };
}

/** EAS gives the names of metrics back in capitals, and takes them so. */
function parseStrategy(item: unknown, index: number): ScalingRule['strategies'][number] {
  const where = `scaleStrategies[${index}]`;
  if (!isRecord(item) || typeof item.metricName !== 'string' || !(Number(item.threshold) > 0)) {
    throw invalidParameter(`${where} is not {metricName, threshold} with a threshold above 0.`);
  }
  const metric = METRICS.find((name) => name === String(item.metricName).toLowerCase());
  if (!metric) throw invalidParameter(`${where}.metricName is "${item.metricName}"; it can be ${METRICS.join(', ')}.`);
  return {
    metric,
    threshold: Number(item.threshold),
    ...(typeof item.service === 'string' && item.service !== '' && { service: item.service }),
  };
}

const readSeconds = (body: Readonly<Record<string, unknown>>, part: string, name: string, fallback: number): number =>
  1000 * readBehavior(body, part, name, fallback);

function readBehavior(body: Readonly<Record<string, unknown>>, part: string, name: string, fallback: number): number {
  const { behavior = {} } = body;
  const fields = isRecord(behavior) ? (behavior[part] ?? {}) : undefined;
  const value = isRecord(fields) ? (fields[name] ?? fallback) : undefined;
  if (isCount(value)) return value;
  throw invalidParameter(`behavior.${part}.${name} is ${JSON.stringify(value)}, not a whole number from 0.`);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/**
 * How many instances keep every metric at or below its threshold; `totals` are over all instances, one for each strategy.
 * `undefined` when none of them could be measured.
 */
export function instancesFor(rule: ScalingRule, totals: readonly (number | undefined)[]): number | undefined {
  const wanted = rule.strategies.flatMap(({ threshold }, at) => {
    const total = totals[at];
    return total === undefined ? [] : [Math.ceil(total / threshold)];
  });
  if (wanted.length === 0) return undefined;
  return Math.min(rule.max, Math.max(1, rule.min, ...wanted));
}

/** How many instances were wanted at a time. */
export interface Recommendation {
  readonly at: number;
  readonly wanted: number;
}

/**
 * What to run now: more than `present` only if more was wanted through all of the window for more, fewer only through the one for
 * fewer, as the horizontal autoscaler of Kubernetes does. `history` holds the recommendation of `now` as well.
 */
export function stabilize(rule: ScalingRule, history: readonly Recommendation[], present: number, now: number): number {
  const within = (ms: number) => history.filter(({ at }) => at === now || at > now - ms).map(({ wanted }) => wanted);
  const least = Math.min(...within(rule.upWindowMs));
  const most = Math.max(...within(rule.downWindowMs));
  return present < least ? least : Math.min(present, most);
}

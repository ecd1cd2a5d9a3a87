import { CptError, InvalidInputError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';
import type { WireAutoScaler } from './service-wire.ts';

/** How EAS is to set the number of a service's instances. */
export interface AutoScaler {
  /** 0 lets the service go to sleep; the first call then waits for an instance. */
  readonly minInstances: number;
  readonly maxInstances: number;
  /** Instances are added while one of these is above its threshold: `qps` of one instance, `cpu` or `gpu[util]` in percent. */
  readonly rules: readonly { readonly metric: string; readonly threshold: number }[];
  /** How long a metric must be low before an instance goes; 300 by default. */
  readonly scaleDownAfterSeconds?: number;
}

/** The body that EAS takes. @throws InvalidInputError `CPT_INPUT_INVALID` */
export function toWireAutoScaler(scaler: AutoScaler): WireAutoScaler {
  const { minInstances: min, maxInstances: max, rules, scaleDownAfterSeconds } = scaler;
  if (!(Number.isInteger(min) && Number.isInteger(max) && min >= 0 && max >= Math.max(1, min))) {
    throw invalid(`minInstances ${min} and maxInstances ${max}; 0 ≤ minInstances ≤ maxInstances, and 1 at least`);
  }
  if (rules.length === 0) throw invalid('no rule; without one nothing scales');
  const wrong = rules.find(({ metric, threshold }) => metric === '' || !(threshold > 0));
  if (wrong)
    throw invalid(`the threshold of ${wrong.metric || 'a nameless metric'} is ${wrong.threshold}; give more than 0`);
  return omitUndefined({
    min,
    max,
    scaleStrategies: rules.map(({ metric, threshold }) => ({ metricName: metric, threshold })),
    behavior:
      scaleDownAfterSeconds === undefined
        ? undefined
        : { scaleDown: { stabilizationWindowSeconds: scaleDownAfterSeconds } },
  });
}

/** The scaler that `describe` gives; undefined when PAI has none. The fields may come in either spelling of EAS. */
export async function readAutoScaler(
  describe: () => Promise<Record<string, unknown>>,
): Promise<AutoScaler | undefined> {
  const wire = await describe().catch((error: unknown) => {
    if (CptError.isInstance(error) && error.code === 'CPT_PAI_NOT_FOUND') return undefined;
    throw error;
  });
  if (!wire) return undefined;
  const read = (name: string) => wire[name] ?? wire[name.charAt(0).toUpperCase() + name.slice(1)];
  const max = Number(read('max') ?? read('maxReplica'));
  if (!(max > 0)) return undefined;
  const strategies = (read('scaleStrategies') ?? []) as Record<string, unknown>[];
  const behavior = read('behavior') as { scaleDown?: { stabilizationWindowSeconds?: number } } | undefined;
  return omitUndefined({
    minInstances: Number(read('min') ?? read('minReplica') ?? 0),
    maxInstances: max,
    rules: strategies.map((rule) => ({
      metric: String(rule.metricName ?? rule.MetricName),
      threshold: Number(rule.threshold ?? rule.Threshold),
    })),
    scaleDownAfterSeconds: behavior?.scaleDown?.stabilizationWindowSeconds,
  });
}

const invalid = (why: string): InvalidInputError =>
  new InvalidInputError('CPT_INPUT_INVALID', `automatic scaling: ${why}`);

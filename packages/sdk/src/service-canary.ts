import { CptError, type ErrorCode, InvalidInputError, PaiError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';
import { type Clock, pollUntil, systemClock } from './poll.ts';
import { askPrompt, type GateReport, type PromptResult, reportOf } from './prompt-gate.ts';
import type { GoldenPrompt } from './prompt-gate-prompts.ts';
import type { Service } from './schemas.ts';
import type { Services } from './services.ts';

/*
 * A canary is a second service in the group of the first. EAS gives a service that joins a group none of its traffic, each service
 * an address of its own where it can be tried, and the group's traffic by weight (ReleaseService, once the group's TrafficMode is
 * `customized`). Versions of one service cannot do this: UpdateService replaces the old one for all traffic at once.
 *
 *      wait → gate ──fails──▶ no traffic was given
 *               │
 *               ▼
 *      weight 5 : 95 → probes → 25 : 75 → probes → 100 : 0 → probes → promoted
 *                        └── fails ──▶ 0 : 100, the service before first; neither is stopped or deleted
 */

/** How to roll a service out. */
export interface RollOutOptions {
  prompts: readonly GoldenPrompt[];
  /** The service that has the traffic now; by default the one of the group that has a weight. */
  from?: string | undefined;
  /** Percent of the group's traffic, rising to 100; by default 5, 25, 100. */
  steps?: readonly number[] | undefined;
  /** Golden prompts asked at each step, round and round; 20 by default. EAS tells no error rate and no latency, so they are measured. */
  probes?: number | undefined;
  /** Between two probes; by default 3 s, so that a step takes a minute. */
  pauseMs?: number | undefined;
  /** Of the probes of a step, failed and unanswered together; 0 by default. */
  maxErrorRate?: number | undefined;
  /** 95th percentile of a step; unlimited by default. */
  maxP95LatencyMs?: number | undefined;
  /** Until the service answers; half an hour by default. */
  timeoutMs?: number | undefined;
  pollMs?: number | undefined;
  promptTimeoutMs?: number | undefined;
  clock?: Clock | undefined;
  signal?: AbortSignal | undefined;
  /** Awaited, so that what it writes down is there before the next step. */
  onEvent?: ((event: RollOutEvent) => void | Promise<void>) | undefined;
}

/** What was measured while a service had some of the traffic. */
export interface StepReport {
  readonly weight: number;
  readonly probes: number;
  readonly failed: number;
  readonly p95LatencyMs: number;
}

/** How far a service came. */
export interface RollOutReport {
  readonly name: string;
  readonly from?: string;
  readonly gate: GateReport;
  readonly steps: readonly StepReport[];
}

/** What happens while a service is rolled out. */
export type RollOutEvent =
  | { readonly type: 'gate'; readonly gate: GateReport }
  | { readonly type: 'weight'; readonly name: string; readonly weight: number; readonly otherWeight?: number }
  | { readonly type: 'step'; readonly step: StepReport }
  | { readonly type: 'roll-back'; readonly why: string; readonly to?: string }
  | { readonly type: 'promoted'; readonly name: string };

const DEFAULTS = {
  steps: [5, 25, 100] as readonly number[],
  probes: 20,
  pauseMs: 3000,
  maxErrorRate: 0,
  pollMs: 3000,
  timeoutMs: 30 * 60_000,
};
type Settled = RollOutOptions & typeof DEFAULTS;
/** For the calls that put the traffic back, which no abort may cut short. */
const ROLL_BACK_MS = 2 * 60_000;

/** See `Services.rollOut`. */
export async function rollOut(services: Services, name: string, given: RollOutOptions): Promise<RollOutReport> {
  const options = { ...DEFAULTS, ...omitUndefined(given) } as Settled;
  checkOptions(options);
  const { signal, onEvent = () => {}, clock = systemClock, pollMs, timeoutMs, promptTimeoutMs } = options;
  const { group } = await services.get(name, { signal });
  if (group === undefined) {
    throw invalid(`${name} is in no group; give it one in its specification, so that it can share traffic`);
  }
  const from = await findBaseline(services, name, group, options.from, signal);
  await services.wait(name, { timeoutMs, pollMs, clock, signal });
  const gate = await services.gate(name, options.prompts, {
    reference: from,
    timeoutMs: promptTimeoutMs,
    clock,
    signal,
  });
  await onEvent({ type: 'gate', gate });
  const steps: StepReport[] = [];
  const report = (): RollOutReport => ({ name, ...(from !== undefined && { from }), gate, steps: [...steps] });
  if (!gate.ok) {
    const message = `${name} failed ${gate.failed} of ${gate.prompts} golden prompts and got no traffic: ${firstFault(gate)}`;
    throw failure('CPT_PAI_GATE_FAILED', message, report());
  }
  const restarts = await countRestarts(services, name, signal);
  try {
    if (from !== undefined) await services.release(from, 100, { signal });
    await services.splitByWeight(group, { signal });
    for (const weight of from === undefined ? [100] : options.steps) {
      await setWeights(services, name, weight, from, signal);
      await onEvent({ type: 'weight', name, weight, ...(from !== undefined && { otherWeight: 100 - weight }) });
      const step = await probe(services, name, weight, options, clock);
      steps.push(step.report);
      await onEvent({ type: 'step', step: step.report });
      const why = step.fault ?? (await healthFault(services, name, restarts, signal));
      if (why !== undefined) throw new Unhealthy(why);
    }
  } catch (error) {
    const why = error instanceof Unhealthy ? error.message : describe(error);
    const context = { why, clock, pollMs, onEvent, report: report(), cause: error };
    const left = await rollBack(services, name, from, context);
    if (signal?.aborted) throw signal.reason;
    const message = `${name} was taken off the traffic at ${steps.at(-1)?.weight ?? 0} %: ${why}${left ?? ''}`;
    throw failure('CPT_PAI_CANARY_FAILED', message, report(), error);
  }
  await onEvent({ type: 'promoted', name });
  return report();
}

/** What was seen of a canary, rather than what a call of PAI threw. */
class Unhealthy extends Error {}

/** The one other service of the group that has traffic. Percentages of a third one's would be wrong, so there may be none. */
async function findBaseline(
  services: Services,
  name: string,
  group: string,
  from: string | undefined,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const serving: Service[] = [];
  for await (const service of services.list({ signal })) {
    const isServing = service.trafficState !== 'standalone' && service.weight !== 0;
    if (service.group === group && service.name !== name && isServing) serving.push(service);
  }
  const names = serving.map((service) => service.name);
  if (names.length > 1)
    throw invalid(`${names.join(' and ')} share the traffic of ${group}; promote one of them first`);
  if (from !== undefined && from !== names[0]) {
    throw invalid(`${from} has no traffic of the group ${group}; ${names[0] ?? 'no service'} has it`);
  }
  const [baseline] = serving;
  if (baseline && baseline.phase !== 'running') {
    throw invalid(`${baseline.name} has the traffic and is ${baseline.status}; start it, so that there is a way back`);
  }
  return baseline?.name;
}

/** The canary's first: were this process to end in between, the service before would still have more than its share. */
async function setWeights(
  services: Services,
  name: string,
  weight: number,
  from: string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  await services.release(name, weight, { signal });
  if (from !== undefined) await services.release(from, 100 - weight, { signal });
}

async function probe(
  services: Services,
  name: string,
  weight: number,
  options: Settled,
  clock: Clock,
): Promise<{ report: StepReport; fault?: string }> {
  const { prompts, probes, pauseMs, maxErrorRate, maxP95LatencyMs, promptTimeoutMs = 120_000, signal } = options;
  const endpoint = await services.endpoint(name, { signal });
  // Scoring a text against the reference is for the gate: it would be asked as often as the canary.
  const asked = prompts.map(({ maxPerplexityRatio, ...prompt }) => prompt);
  const results: PromptResult[] = [];
  for (let at = 0; at < probes; at++) {
    if (at > 0) await clock.sleep(pauseMs, signal);
    const prompt = asked[at % asked.length] as GoldenPrompt;
    results.push(await askPrompt(prompt, { endpoint, timeoutMs: promptTimeoutMs, clock, signal }));
  }
  const gate = reportOf(results);
  const { failed, p95LatencyMs } = gate;
  const report = { weight, probes, failed, p95LatencyMs };
  if (failed / probes > maxErrorRate) {
    return { report, fault: `${failed} of ${probes} probes failed, ${maxErrorRate} are allowed: ${firstFault(gate)}` };
  }
  if (maxP95LatencyMs !== undefined && p95LatencyMs > maxP95LatencyMs) {
    return { report, fault: `95 % of its answers took up to ${p95LatencyMs} ms, ${maxP95LatencyMs} ms are allowed` };
  }
  return { report };
}

async function healthFault(
  services: Services,
  name: string,
  restartsBefore: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const { phase, status, message, runningInstances, instances } = await services.get(name, { signal });
  if (phase !== 'running') return `it is ${status}${message ? `: ${message}` : ''}`;
  const isShort = status === 'Running' && (runningInstances ?? 0) < (instances ?? 0);
  if (isShort) return `${runningInstances} of its ${instances} instances run`;
  const restarts = (await countRestarts(services, name, signal)) - restartsBefore;
  return restarts > 0 ? `its instances were restarted ${restarts} times` : undefined;
}

async function countRestarts(services: Services, name: string, signal: AbortSignal | undefined): Promise<number> {
  let count = 0;
  for await (const { restarts } of services.instances(name, { signal })) count += restarts;
  return count;
}

/** Gives the traffic back, and tells what could not be done. The service before comes first: for a moment both have some, never none. */
async function rollBack(
  services: Services,
  name: string,
  from: string | undefined,
  { why, clock, pollMs, onEvent, report, cause }: RollBackContext,
): Promise<string | undefined> {
  await onEvent({ type: 'roll-back', why, ...(from !== undefined && { to: from }) });
  const patience = { timeoutMs: ROLL_BACK_MS, pollMs, clock };
  if (from !== undefined) {
    const before = await readOrGone(services, from);
    if (before?.phase !== 'running') {
      const how = before ? `is ${before.status}` : 'is gone';
      const message = `${name} failed (${why}), and ${from}, which had the traffic before, ${how}; the traffic was left as it is. Start ${from}, or deploy another service into the group and promote it`;
      throw failure('CPT_PAI_NO_WAY_BACK', message, report, cause);
    }
    const what = `the weight of ${from}`;
    await pollUntil(
      () => services.release(from, 100),
      () => true,
      { what, ...patience },
    );
  }
  const what = `the end of ${name}'s traffic`;
  return pollUntil(
    () => takeOff(services, name),
    (isDone) => isDone,
    { what, ...patience },
  ).then(
    () => undefined,
    (error: unknown) => `; its weight is not 0 yet (${describe(error)}), so stop it before it takes traffic again`,
  );
}

/** True when the service has no traffic any more. While it stops, PAI takes no change, and it will have to be asked again. */
async function takeOff(services: Services, name: string): Promise<boolean> {
  const service = await readOrGone(services, name);
  if (!service) return true;
  try {
    await services.release(name, 0);
    return true;
  } catch (error) {
    const isRefused = CptError.isInstance(error) && error.code === 'CPT_PAI_REJECTED';
    if (!isRefused || service.phase === 'running') throw error;
    return false;
  }
}

interface RollBackContext {
  readonly why: string;
  readonly clock: Clock;
  readonly pollMs: number;
  readonly onEvent: (event: RollOutEvent) => void | Promise<void>;
  readonly report: RollOutReport;
  readonly cause: unknown;
}

function readOrGone(services: Services, name: string): Promise<Service | undefined> {
  return services.get(name).catch((error: unknown) => {
    if (CptError.isInstance(error) && error.code === 'CPT_PAI_NOT_FOUND') return undefined;
    throw error;
  });
}

function checkOptions({ steps, prompts, probes, maxErrorRate }: Settled): void {
  const isRising = steps.every((step, at) => Number.isInteger(step) && step > (steps[at - 1] ?? 0));
  if (!isRising || steps.at(-1) !== 100)
    throw invalid(`the steps are ${steps.join(', ')}; give whole percents that rise to 100`);
  if (prompts.length === 0) throw invalid('there is no golden prompt, so nothing can be found wrong');
  if (!Number.isInteger(probes) || probes < 1) throw invalid(`${probes} probes; give 1 or more`);
  if (!(maxErrorRate >= 0 && maxErrorRate < 1)) throw invalid(`the error rate is ${maxErrorRate}; give 0 to below 1`);
}

function firstFault({ results }: GateReport): string {
  const failed = results.find(({ ok }) => !ok);
  return failed ? `"${failed.id}" ${failed.faults[0]}` : 'none';
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const failure = (code: ErrorCode, message: string, report: RollOutReport, cause?: unknown): PaiError =>
  new PaiError(code, message, { report }, cause === undefined ? {} : { cause });

const invalid = (why: string): InvalidInputError => new InvalidInputError('CPT_INPUT_INVALID', `roll-out: ${why}`);

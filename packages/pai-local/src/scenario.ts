import { InvalidInputError } from '@pai-cpt/core';
import { type FaultPlan, parseFaultPlan } from './faults.ts';
import type { GpuSpan } from './gpu-use.ts';
import { isRecord } from './parameters.ts';

/** What jobs are to do instead of running their command, and which faults strike; the README's "Scenarios" tells it for users. */
export interface Scenario {
  readonly jobs: readonly JobScript[];
  /** Machines of the public pool by type; of a type that is not named there are as many as anybody wants. */
  readonly stock?: Readonly<Record<string, number>>;
  readonly faults?: FaultPlan;
}

/** A training that is written instead of run: the last pod writes its log, the others wait. */
export interface JobScript {
  /** A part of the display name of the jobs it stands for; '' stands for all. */
  readonly name: string;
  /** How long such a job is Queuing. */
  readonly queueMs: number;
  readonly iterations: number;
  /** From one line to the next, by the server's clock. */
  readonly iterationMs: number;
  /** What the lines say an iteration took. */
  readonly elapsedMs: number;
  readonly globalBatchSize: number;
  /** The loss falls from `from` to `to`, ever slower, with noise of this standard deviation. */
  readonly loss: { readonly from: number; readonly to: number; readonly noise: number };
  readonly learningRate: number;
  readonly minLearningRate: number;
  readonly warmupIterations: number;
  readonly saveInterval: number;
  readonly checkpointDirectory: string;
  /** Where a pod that is started again goes on: Megatron's own way, or from the base model as the stock launcher does. */
  readonly restartsFrom: 'checkpoint' | 'base';
  readonly seed: number;
  /** What GetJobMetrics tells of its GPUs, in the order of time; without it nothing. */
  readonly gpuUse: readonly GpuSpan[];
  readonly events: readonly ScriptEvent[];
}

/** The first of `scripts` that stands for jobs of this name. */
export const findScript = (scripts: readonly JobScript[], displayName: string): JobScript | undefined =>
  scripts.find(({ name }) => displayName.includes(name));

export const SCRIPT_EVENTS = ['spike', 'nan', 'oom', 'nccl-timeout', 'preempt', 'hang', 'line'] as const;

/** Something that happens once, at iteration `at`. */
export interface ScriptEvent {
  readonly kind: (typeof SCRIPT_EVENTS)[number];
  readonly at: number;
  /** For spike and nan: how many iterations it lasts. */
  readonly iterations: number;
  /** For spike: what the loss is multiplied with. */
  readonly factor: number;
  /** For line: what the log says. */
  readonly text: string;
}

const DEFAULTS: Omit<JobScript, 'events' | 'gpuUse'> = {
  name: '',
  queueMs: 0,
  iterations: 200,
  iterationMs: 100,
  elapsedMs: 6900,
  globalBatchSize: 32,
  loss: { from: 2.4, to: 1.9, noise: 0.01 },
  learningRate: 5e-5,
  minLearningRate: 5e-6,
  warmupIterations: 10,
  saveInterval: 50,
  checkpointDirectory: '/mnt/output/checkpoint',
  restartsFrom: 'checkpoint',
  seed: 1,
};
const EVENT_DEFAULTS: Omit<ScriptEvent, 'kind' | 'at'> = { iterations: 1, factor: 2, text: '' };

/** The scenario in a parsed JSON file. @throws InvalidInputError `CPT_INPUT_INVALID` naming the field. */
export function parseScenario(value: unknown): Scenario {
  const { jobs = [], faults, stock = {} } = knownFields(value, 'scenario', { jobs: [], faults: {}, stock: {} });
  if (!Array.isArray(jobs)) throw invalid('jobs', 'is not a list');
  return {
    jobs: jobs.map((job: unknown, index) => parseJob(job, `jobs[${index}]`)),
    stock: parseStock(stock),
    ...(faults !== undefined && { faults: parseFaults(faults) }),
  };
}

function parseStock(value: unknown): Record<string, number> {
  if (!isRecord(value)) throw invalid('stock', 'is not an object');
  const wrong = Object.entries(value).find(([, count]) => !Number.isInteger(count) || Number(count) < 0);
  if (wrong) throw invalid(`stock.${wrong[0]}`, `is ${JSON.stringify(wrong[1])}, not a whole number from 0`);
  return value as Record<string, number>;
}

function parseFaults(value: unknown): FaultPlan {
  if (!isRecord(value)) throw invalid('faults', 'is not an object');
  try {
    return parseFaultPlan(value);
  } catch (error) {
    throw invalid('faults', error instanceof Error ? error.message : String(error));
  }
}

function parseJob(value: unknown, where: string): JobScript {
  const { events = [], gpuUse = [], ...given } = knownFields(value, where, { ...DEFAULTS, gpuUse: [], events: [] });
  const { loss = {}, ...plain } = given;
  const job = { ...DEFAULTS, ...checkTypes(plain, DEFAULTS, where) } as JobScript;
  const lossFields = knownFields(loss, `${where}.loss`, DEFAULTS.loss);
  if (!Array.isArray(events)) throw invalid(`${where}.events`, 'is not a list');
  if (!Array.isArray(gpuUse)) throw invalid(`${where}.gpuUse`, 'is not a list');
  if (job.restartsFrom !== 'checkpoint' && job.restartsFrom !== 'base') {
    throw invalid(`${where}.restartsFrom`, 'is neither "checkpoint" nor "base"');
  }
  if (job.iterations < 1 || job.saveInterval < 1) throw invalid(where, 'needs iterations and saveInterval from 1');
  return {
    ...job,
    loss: { ...DEFAULTS.loss, ...checkTypes(lossFields, DEFAULTS.loss, `${where}.loss`) },
    gpuUse: parseGpuUse(gpuUse, `${where}.gpuUse`),
    events: events.map((event: unknown, index) => parseEvent(event, `${where}.events[${index}]`)),
  };
}

function parseGpuUse(spans: readonly unknown[], where: string): GpuSpan[] {
  const parsed = spans.map((span, index) => parseGpuSpan(span, `${where}[${index}]`));
  const late = parsed.findIndex(({ fromMinute }, index) => fromMinute <= (parsed[index - 1]?.fromMinute ?? -1));
  if (late >= 0) throw invalid(`${where}[${late}].fromMinute`, 'is not after the one before');
  return parsed;
}

function parseGpuSpan(value: unknown, where: string): GpuSpan {
  const known = { fromMinute: 0, percent: [], memoryPercent: [] };
  const { fromMinute = 0, percent = [], memoryPercent = [] } = knownFields(value, where, known);
  checkTypes({ fromMinute }, known, where);
  const isUse = (use: unknown) => typeof use === 'number' && use >= 0 && use <= 100;
  for (const [name, uses] of Object.entries({ percent, memoryPercent })) {
    if (!Array.isArray(uses) || !uses.every(isUse)) throw invalid(`${where}.${name}`, 'is not a list of 0 to 100');
  }
  return { fromMinute, percent, memoryPercent } as GpuSpan;
}

function parseEvent(value: unknown, where: string): ScriptEvent {
  const known = { ...EVENT_DEFAULTS, kind: '', at: 0 };
  const event = { ...EVENT_DEFAULTS, ...checkTypes(knownFields(value, where, known), known, where) } as ScriptEvent;
  if (!SCRIPT_EVENTS.includes(event.kind)) {
    throw invalid(`${where}.kind`, `is ${JSON.stringify(event.kind)}; it can be ${SCRIPT_EVENTS.join(', ')}`);
  }
  if (!(event.at >= 1)) throw invalid(`${where}.at`, 'is missing; it is an iteration from 1');
  return event;
}

function knownFields(value: unknown, where: string, known: object): Record<string, unknown> {
  if (!isRecord(value)) throw invalid(where, 'is not an object');
  const unknown = Object.keys(value).find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return value;
  throw invalid(`${where}.${unknown}`, `is not known; known are ${Object.keys(known).join(', ')}`);
}

/** Every value has the type of its default; numbers are finite and not negative. */
function checkTypes(given: Record<string, unknown>, defaults: object, where: string): Record<string, unknown> {
  for (const [name, value] of Object.entries(given)) {
    const wanted = typeof (defaults as Record<string, unknown>)[name];
    const fits = typeof value === wanted && (typeof value !== 'number' || (Number.isFinite(value) && value >= 0));
    if (!fits) throw invalid(`${where}.${name}`, `is ${JSON.stringify(value)}, not a ${wanted}`);
  }
  return given;
}

function invalid(field: string, why: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `scenario: ${field} ${why}`, { field });
}

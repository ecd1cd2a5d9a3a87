import { ApiError, invalidParameter } from './api-error.ts';
import { isRecord } from './parameters.ts';

/** Faults in whose place the proper answer never comes. `commits` tells whether the request is carried out all the same. */
export const BREAKING_FAULTS = [
  'drop',
  'reset-mid-body',
  'hang',
  'error-500',
  'html-502',
  'html-503',
  'empty-200',
  'error-in-200',
  'throttle',
  'sts-expired',
] as const;
/** Faults that change a proper answer. */
export const SHAPING_FAULTS = [
  'late-visibility',
  'double-listing',
  'reordered-list',
  'shifting-pages',
  'late-log-lines',
  'disordered-log',
  'clock-skew',
  'unknown-status',
  'slow-body',
] as const;

export type BreakingFault = (typeof BREAKING_FAULTS)[number];
export type ShapingFault = (typeof SHAPING_FAULTS)[number];

/** A fault and when it strikes. */
export interface FaultRule {
  readonly fault: BreakingFault | ShapingFault;
  /** The operation it strikes; by default all. */
  readonly action?: string;
  /** Requests that pass before the first is struck; 0 by default. */
  readonly skip?: number;
  /** Requests that are struck; no end by default. */
  readonly times?: number;
  /** Chance of each of them, drawn from the seed; 1 by default. */
  readonly probability?: number;
  /** For a breaking fault: the request is carried out, only its answer is lost. */
  readonly commits?: boolean;
  /** With `commits`: carried out only so long after the answer was lost. */
  readonly commitAfterMs?: number;
  /** How long: hidden, hanging, or between the pieces of a slow body; for clock-skew, how far ahead. */
  readonly ms?: number;
  /** For unknown-status: what it says. */
  readonly status?: string;
  /** For throttle: the HTTP status, 400 by default, and the wait it asks for. */
  readonly httpStatus?: number;
  readonly retryAfterMs?: number;
}

/** Rules, and the seed of everything random in them. */
export interface FaultPlan {
  readonly seed?: number;
  readonly rules: readonly FaultRule[];
}

/** A rule and how often it has struck. */
export interface FaultCount {
  readonly rule: FaultRule;
  readonly seen: number;
  readonly struck: number;
}

/** The faults of a server. */
export interface Faults {
  /** Replaces all rules. What an earlier rule hid stays hidden for its time. */
  set(plan: FaultPlan): void;
  counts(): FaultCount[];
  /** The rules that strike this request, each counted; of the breaking ones, the first alone. */
  draw(action: string): FaultRule[];
  random(): number;
  /** Hides the job that `made` gives, from its first moment on, for `ms`. */
  hideNew<T extends Record<string, unknown>>(made: Promise<T>, ms: number, now: () => number): Promise<T>;
  /** Resolves when no job is being made that is to be hidden: until then nobody knows its id. */
  made(): Promise<void>;
  isHidden(jobId: string, now: number): boolean;
  /** True while some job may be hidden. */
  readonly isHiding: boolean;
}

export function isBreaking(rule: FaultRule): boolean {
  return (BREAKING_FAULTS as readonly string[]).includes(rule.fault);
}

/** No faults, until `set` names some. */
export function createFaults(): Faults {
  let counted: { rule: FaultRule; seen: number; struck: number }[] = [];
  let random = seededRandom(1);
  const hidden = new Map<string, number>();
  const making = new Set<Promise<void>>();

  function strikes(entry: (typeof counted)[number], action: string): boolean {
    const { rule } = entry;
    if (rule.action !== undefined && rule.action !== action) return false;
    entry.seen++;
    const isDue = entry.seen > (rule.skip ?? 0) && entry.struck < (rule.times ?? Number.POSITIVE_INFINITY);
    return isDue && ((rule.probability ?? 1) >= 1 || random() < (rule.probability ?? 1));
  }
  return {
    set({ seed = 1, rules }) {
      counted = rules.map((rule) => ({ rule, seen: 0, struck: 0 }));
      random = seededRandom(seed);
    },
    counts: () => counted.map((entry) => ({ ...entry })),
    draw(action) {
      const drawn: FaultRule[] = [];
      for (const entry of counted) {
        if (!strikes(entry, action)) continue;
        if (isBreaking(entry.rule) && drawn.some(isBreaking)) continue;
        entry.struck++;
        drawn.push(entry.rule);
      }
      return drawn;
    },
    random: () => random(),
    async hideNew(made, ms, now) {
      const hiding = made.then(({ JobId }) => void hidden.set(String(JobId), now() + ms)).catch(() => {});
      making.add(hiding);
      await hiding;
      making.delete(hiding);
      return made;
    },
    async made() {
      await Promise.all(making);
    },
    get isHiding() {
      return hidden.size > 0;
    },
    isHidden(jobId, now) {
      const until = hidden.get(jobId);
      if (until === undefined) return false;
      if (now < until) return true;
      hidden.delete(jobId);
      return false;
    },
  };
}

/** Mulberry32: the same numbers from the same seed, on every machine. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const NUMBERS = ['skip', 'times', 'probability', 'commitAfterMs', 'ms', 'httpStatus', 'retryAfterMs'] as const;

/** The plan in a body. @throws ApiError `InvalidParameter` naming the rule and the field. */
export function parseFaultPlan(body: Record<string, unknown>): FaultPlan {
  const { seed = 1, rules, ...rest } = body;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw invalidParameter(`${unknown} is not a field of a fault plan.`);
  if (typeof seed !== 'number' || !Number.isSafeInteger(seed)) throw invalidParameter('seed is not a whole number.');
  if (!Array.isArray(rules)) throw invalidParameter('rules is not a list.');
  return { seed, rules: rules.map((rule: unknown, index) => parseRule(rule, `rules[${index}]`)) };
}

function parseRule(value: unknown, where: string): FaultRule {
  if (!isRecord(value)) throw invalidParameter(`${where} is not an object.`);
  const { fault, action, status, commits, ...numbers } = value;
  const known: readonly unknown[] = [...BREAKING_FAULTS, ...SHAPING_FAULTS];
  if (!known.includes(fault)) {
    throw invalidParameter(`${where}.fault is ${JSON.stringify(fault)}; it can be ${known.join(', ')}.`);
  }
  for (const [name, text] of Object.entries({ action, status })) {
    if (text !== undefined && typeof text !== 'string') throw invalidParameter(`${where}.${name} is not a string.`);
  }
  if (commits !== undefined && typeof commits !== 'boolean')
    throw invalidParameter(`${where}.commits is not a boolean.`);
  for (const [name, number] of Object.entries(numbers)) {
    if (!(NUMBERS as readonly string[]).includes(name)) {
      throw invalidParameter(`${where}.${name} is not a field of a rule.`);
    }
    const isPossible = typeof number === 'number' && Number.isFinite(number) && (number >= 0 || name === 'ms');
    if (!isPossible) throw invalidParameter(`${where}.${name} is ${JSON.stringify(number)}, not a number from 0.`);
  }
  return value as unknown as FaultRule;
}

/** What stands for the answer of a request that a breaking fault has struck. */
export function brokenError(rule: FaultRule): ApiError | undefined {
  switch (rule.fault) {
    case 'error-500':
      return new ApiError(500, 'InternalError', 'The request processing has failed due to some unknown error.');
    case 'throttle':
      return new ApiError(rule.httpStatus ?? 400, 'Throttling.User', 'Request was denied due to user flow control.');
    case 'sts-expired':
      return new ApiError(400, 'InvalidSecurityToken.Expired', 'Specified SecurityToken is expired.');
    case 'error-in-200':
      return new ApiError(200, 'InternalError', 'The request processing has failed due to some unknown error.');
    default:
      return undefined;
  }
}

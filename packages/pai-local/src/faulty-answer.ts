import { ApiError } from './api-error.ts';
import type { Clock } from './clock.ts';
import { brokenError, type FaultRule, type Faults, isBreaking } from './faults.ts';
import type { ApiRequest, Operation } from './operations.ts';
import { isRecord, pageOf } from './parameters.ts';

/** An answer as it goes over the wire, or does not. */
export interface WireAnswer {
  readonly status: number;
  readonly contentType: string;
  /** Besides content-type and x-acs-request-id. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** `drop`: the connection is closed without a byte. `cut`: in the middle of the body. */
  readonly delivery: 'whole' | 'drop' | 'cut' | 'hang' | 'slow';
  /** How long it hangs, or takes from piece to piece. */
  readonly ms: number;
}

/** Turns a body, or the error that was thrown, into an answer. */
export type ToAnswer = (outcome: { body: Record<string, unknown> } | { error: unknown }) => WireAnswer;

const HTML = '<html><head><title>Bad Gateway</title></head><body><center><h1>Bad Gateway</h1></center></body></html>';
const DEFAULT_HANG_MS = 3_600_000;
const DEFAULT_PIECE_MS = 200;
const MOST_LISTED = 1000;

/** Carries a request out with the faults that strike it. */
export async function answerWithFaults(
  operation: Operation,
  request: ApiRequest,
  { faults, clock, toAnswer }: { faults: Faults; clock: Clock; toAnswer: ToAnswer },
): Promise<WireAnswer> {
  const rules = faults.draw(operation.action);
  const broken = rules.find(isBreaking);
  const shaping = rules.filter((rule) => !isBreaking(rule));
  const carryOut = () => shapedBody(operation, request, shaping, faults, clock);
  if (!broken) {
    const slow = shaping.find(({ fault }) => fault === 'slow-body');
    const answer = await carryOut().then(
      (body) => toAnswer({ body }),
      (error: unknown) => toAnswer({ error }),
    );
    return slow ? { ...answer, delivery: 'slow', ms: slow.ms ?? DEFAULT_PIECE_MS } : answer;
  }
  const isCommitted = broken.commits ?? broken.fault === 'reset-mid-body';
  let body: Record<string, unknown> = {};
  if (isCommitted && broken.commitAfterMs !== undefined) {
    void clock
      .sleep(broken.commitAfterMs)
      .then(carryOut)
      .catch(() => {}); // nobody is there to be told
  } else if (isCommitted) {
    try {
      body = await carryOut();
    } catch (error) {
      return toAnswer({ error });
    }
  }
  return breakAnswer(broken, toAnswer(brokenOutcome(broken, body)));
}

function brokenOutcome(rule: FaultRule, body: Record<string, unknown>): Parameters<ToAnswer>[0] {
  const error = brokenError(rule);
  return error ? { error } : { body };
}

function breakAnswer(rule: FaultRule, answer: WireAnswer): WireAnswer {
  const html = { contentType: 'text/html; charset=utf-8', text: HTML };
  switch (rule.fault) {
    case 'drop':
      return { ...answer, delivery: 'drop' };
    case 'reset-mid-body':
      return { ...answer, delivery: 'cut' };
    case 'hang':
      return { ...answer, delivery: 'hang', ms: rule.ms ?? DEFAULT_HANG_MS };
    case 'html-502':
      return { ...answer, ...html, status: 502 };
    case 'html-503':
      return { ...answer, ...html, status: 503 };
    case 'empty-200':
      return { ...answer, status: 200, text: '' };
    case 'throttle':
      return rule.retryAfterMs === undefined
        ? answer
        : { ...answer, headers: { ...answer.headers, 'x-acs-retry-after': String(rule.retryAfterMs) } };
    default:
      return answer;
  }
}

async function shapedBody(
  operation: Operation,
  request: ApiRequest,
  shaping: readonly FaultRule[],
  faults: Faults,
  clock: Clock,
): Promise<Record<string, unknown>> {
  const { action } = operation;
  if (action === 'GetJob' || action === 'ListJobs') await faults.made();
  if (action === 'GetJob' && faults.isHidden(request.path.JobId as string, clock.now())) {
    throw new ApiError(404, 'JobNotExists', `Job ${request.path.JobId} does not exist.`);
  }
  const late = shaping.find(({ fault }) => fault === 'late-visibility');
  const handled = async () =>
    action === 'ListJobs' ? listed(operation, request, shaping, faults, clock) : operation.handle(request);
  const isLate = late !== undefined && action === 'CreateJob';
  const body = await (isLate ? faults.hideNew(handled(), late.ms ?? 0, clock.now) : handled());
  return shaping.reduce((rest, rule) => reshape(rest, rule), body);
}

/** A page of the list as the faults leave it: they act on the whole list, of which the page is then cut. */
async function listed(
  operation: Operation,
  request: ApiRequest,
  shaping: readonly FaultRule[],
  faults: Faults,
  clock: Clock,
): Promise<Record<string, unknown>> {
  const asked = await operation.handle(request); // for its refusals, and for all that is beside the list
  if (shaping.length === 0 && !faults.isHiding) return asked;
  const whole = new Map([...request.query, ['PageNumber', '1'], ['PageSize', String(MOST_LISTED)]]);
  const all = await operation.handle({ ...request, query: whole });
  const has = (fault: FaultRule['fault']) => shaping.some((rule) => rule.fault === fault);
  let jobs = (all.Jobs as Record<string, unknown>[]).filter(
    ({ JobId }) => !faults.isHidden(String(JobId), clock.now()),
  );
  if (has('double-listing')) jobs = jobs.flatMap((job) => [job, job]);
  if (has('reordered-list')) jobs = shuffle(jobs, faults);
  const pageNumber = Number(request.query.get('PageNumber') || 1);
  const pageSize = Number(request.query.get('PageSize') || 50);
  const total = jobs.length;
  // Something came or went at the front since the first page: one job is on two pages, or on none.
  if (has('shifting-pages') && pageNumber > 1) {
    jobs = faults.random() < 0.5 ? [...jobs.slice(0, 1), ...jobs] : jobs.slice(1);
  }
  return { ...asked, Jobs: pageOf(jobs, pageNumber, pageSize), TotalCount: total };
}

function shuffle<T>(items: readonly T[], { random }: Faults): T[] {
  return items
    .map((item) => ({ item, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

function reshape(body: Record<string, unknown>, rule: FaultRule): Record<string, unknown> {
  if (rule.fault === 'clock-skew') return shiftTimes(body, rule.ms ?? 0) as Record<string, unknown>;
  if (rule.fault === 'unknown-status') {
    const status = rule.status ?? 'Hibernating';
    const jobs = Array.isArray(body.Jobs) ? { Jobs: body.Jobs.map((job) => ({ ...job, Status: status })) } : {};
    return { ...body, ...jobs, ...('Status' in body && { Status: status }) };
  }
  if (Array.isArray(body.Logs)) return { ...body, Logs: reshapeLog(body.Logs, rule) };
  return body;
}

/** Collectors bring the lines of a pod late, one here and one there, and not always in order. */
function reshapeLog(lines: readonly unknown[], { fault }: FaultRule): readonly unknown[] {
  if (fault === 'late-log-lines') return lines.filter((_, at) => at % 3 !== 2);
  if (fault !== 'disordered-log') return lines;
  return lines.map((line, at) => lines[at % 2 === 0 ? at + 1 : at - 1] ?? line);
}

function shiftTimes(value: unknown, ms: number): unknown {
  if (typeof value === 'string' && ISO_TIME.test(value)) {
    return `${new Date(Date.parse(value) + ms).toISOString().slice(0, 19)}Z`;
  }
  if (Array.isArray(value)) return value.map((item) => shiftTimes(item, ms));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shiftTimes(item, ms)]));
}

import type { FaultRule } from '@pai-cpt/pai-local';

/** Short enough that the settle time covers a late job: accepted late and shown late together stay below it. */
const LATE_MS = 50_000;
/** Long enough that it does not. */
const TOO_LATE_MS = 400_000;

export interface Storm {
  readonly rules: FaultRule[];
  /** A call may be carried out after the settle time: the one case in which a second job can come to be for a while. */
  readonly isTooLate: boolean;
}

/** A few faults, drawn from every kind. */
export function drawStorm(random: () => number): Storm {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const upTo = (most: number): number => Math.floor(random() * (most + 1));
  const rules: FaultRule[] = [];
  let isTooLate = false;

  const lost: (() => FaultRule)[] = [
    () => ({ fault: 'drop', commits: true }),
    () => ({ fault: 'drop', commits: true, commitAfterMs: random() * LATE_MS }),
    () => ({ fault: 'drop', commits: false }),
    () => ({ fault: 'hang', commits: true }),
    () => ({ fault: 'hang', commits: true, commitAfterMs: random() * LATE_MS }),
    () => ({ fault: 'hang', commits: false, ms: 10_000 }),
    () => ({ fault: 'reset-mid-body' }),
    () => ({ fault: 'error-500', commits: random() < 0.5 }),
    () => ({ fault: 'html-502', commits: random() < 0.5 }),
    () => ({ fault: 'html-503', commits: random() < 0.5 }),
    () => ({ fault: 'empty-200', commits: random() < 0.5 }),
    () => ({ fault: 'error-in-200', commits: random() < 0.5 }),
    () => ({ fault: 'throttle', httpStatus: pick([400, 429]), retryAfterMs: pick([0, 400, 3000]) }),
    () => ({ fault: 'throttle', times: 5 }),
    () => ({ fault: 'sts-expired' }),
    () => ({ fault: 'sts-expired' }),
    () => ({ fault: 'slow-body', ms: 2000 }),
  ];
  for (let count = 1 + upTo(1); count > 0; count--) {
    const rule = { action: 'CreateJob', times: 1 + upTo(1), skip: upTo(1), ...pick(lost)() };
    const isLate = rule.commits === true && random() < 0.06;
    if (isLate) isTooLate = true;
    rules.push(isLate ? { ...rule, commitAfterMs: LATE_MS + random() * TOO_LATE_MS } : rule);
  }
  if (random() < 0.5) rules.push({ fault: 'late-visibility', action: 'CreateJob', ms: random() * LATE_MS });
  for (const fault of ['double-listing', 'reordered-list', 'shifting-pages'] as const) {
    if (random() < 0.3) rules.push({ fault, action: 'ListJobs', probability: 0.7 });
  }
  if (random() < 0.3) rules.push({ fault: 'clock-skew', ms: (random() - 0.5) * 600_000 });
  if (random() < 0.2) rules.push({ fault: 'unknown-status', status: 'Hibernating', probability: 0.5 });
  for (let count = upTo(3); count > 0; count--) {
    const fault = pick([
      'drop',
      'hang',
      'reset-mid-body',
      'error-500',
      'html-502',
      'html-503',
      'empty-200',
      'throttle',
    ] as const);
    const action = pick(['ListJobs', 'ListJobs', 'GetJob', 'StopJob']);
    rules.push({ fault, action, times: 1 + upTo(3), skip: upTo(2), probability: 0.8 });
  }
  // An outage that outlasts every patience: the caller must be asked, not given a second job.
  if (random() < 0.05) rules.push({ fault: 'html-502', action: 'ListJobs', times: 400, skip: 1 });
  return { rules, isTooLate };
}

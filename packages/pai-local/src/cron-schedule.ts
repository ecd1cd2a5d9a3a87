import { invalidParameter } from './api-error.ts';

/**
 *   0 30 8-18/2 * * MON-FRI
 *   │ │  │      │ │ └ weekday 0-7 (0 and 7 are Sunday) or SUN-SAT
 *   │ │  │      │ └── month 1-12 or JAN-DEC
 *   │ │  │      └──── day of the month 1-31
 *   │ │  └─────────── hour 0-23
 *   │ └────────────── minute 0-59
 *   └──────────────── second 0-59
 *
 * Each field is `*`, `?`, or a list of numbers and ranges, with steps. Where both days are given, either will do, as with cron.
 */
export interface CronSchedule {
  readonly seconds: ReadonlySet<number>;
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** `undefined` for every day. */
  readonly days: ReadonlySet<number> | undefined;
  readonly weekdays: ReadonlySet<number> | undefined;
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

/** Reads a cron expression of six fields. @throws ApiError `InvalidParameter` */
export function parseCronSchedule(text: string): CronSchedule {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== 6) throw invalid(text, 'it has not six fields: second minute hour day month weekday');
  const [second, minute, hour, day, month, weekday] = fields as [string, string, string, string, string, string];
  const isEvery = (field: string) => field === '*' || field === '?';
  const weekdays = parseField(text, named(weekday, WEEKDAYS, 0), 0, 7);
  return {
    seconds: parseField(text, second, 0, 59),
    minutes: parseField(text, minute, 0, 59),
    hours: parseField(text, hour, 0, 23),
    months: parseField(text, named(month, MONTHS, 1), 1, 12),
    days: isEvery(day) ? undefined : parseField(text, day, 1, 31),
    weekdays: isEvery(weekday) ? undefined : new Set([...weekdays].map((value) => value % 7)),
  };
}

const named = (field: string, names: readonly string[], first: number): string =>
  field.toUpperCase().replace(/[A-Z]{3}/g, (name) => {
    const at = names.indexOf(name);
    return at < 0 ? name : String(at + first);
  });

function parseField(text: string, field: string, least: number, most: number): Set<number> {
  const values = new Set<number>();
  for (const part of field.split(',')) {
    const [, from, to, step] = /^(?:[*?]|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part) ?? [];
    const isKnown = /^[*?\d]/.test(part) && (from !== undefined || /^[*?](\/|$)/.test(part));
    const first = from === undefined ? least : Number(from);
    const last = to !== undefined ? Number(to) : from === undefined || step !== undefined ? most : first;
    const by = step === undefined ? 1 : Number(step);
    if (!isKnown || first < least || last > most || first > last || by < 1) {
      throw invalid(text, `"${part}" is no part of ${least} to ${most}`);
    }
    for (let value = first; value <= last; value += by) values.add(value);
  }
  return values;
}

const invalid = (text: string, why: string) => invalidParameter(`The cron expression "${text}" is wrong: ${why}.`);

/** A minute as clocks in a time zone show it. */
export interface WallTime {
  readonly minute: number;
  readonly hour: number;
  readonly day: number;
  readonly month: number;
  readonly weekday: number;
}

/** What clocks in `timeZone` show at `at`. @throws ApiError `InvalidParameter` for a zone that is not known */
export function wallTime(at: number, timeZone: string): WallTime {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone, hourCycle: 'h23', weekday: 'short' },
      ...{ month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' },
    });
  } catch {
    throw invalidParameter(`The time zone "${timeZone}" is not known; give one such as Asia/Shanghai.`);
  }
  const parts = new Map(format.formatToParts(at).map(({ type, value }) => [type, value]));
  const number = (type: Intl.DateTimeFormatPartTypes) => Number(parts.get(type));
  const weekday = WEEKDAYS.indexOf(String(parts.get('weekday')).toUpperCase());
  return { minute: number('minute'), hour: number('hour'), day: number('day'), month: number('month'), weekday };
}

/** True when the schedule has this day. */
export function includesDay({ months, days, weekdays }: CronSchedule, time: WallTime): boolean {
  if (!months.has(time.month)) return false;
  if (days && weekdays) return days.has(time.day) || weekdays.has(time.weekday);
  return (days?.has(time.day) ?? true) && (weekdays?.has(time.weekday) ?? true);
}

/** True when the schedule has some second of this minute. */
export const includesMinute = (schedule: CronSchedule, time: WallTime): boolean =>
  includesDay(schedule, time) && schedule.hours.has(time.hour) && schedule.minutes.has(time.minute);

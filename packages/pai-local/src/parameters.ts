import { invalidParameter } from './api-error.ts';

/** Query parameters by name, as an operation receives them. */
export type Query = ReadonlyMap<string, string>;

const WEEK_MS = 7 * 24 * 3600_000;

/** The whole number under `name`, `fallback` when it is absent. */
export function readInteger(query: Query, name: string, range: { fallback: number; min: number; max: number }): number {
  const text = query.get(name);
  if (text === undefined || text === '') return range.fallback;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= range.min && value <= range.max) return value;
  throw invalidParameter(`${name} is "${text}", not a whole number from ${range.min} to ${range.max}.`);
}

/** The word under `name`, which must be one of `allowed`. */
export function readChoice<T extends string>(query: Query, name: string, allowed: readonly T[], fallback: T): T {
  const text = query.get(name);
  if (text === undefined || text === '') return fallback;
  const found = allowed.find((word) => word === text);
  if (found) return found;
  throw invalidParameter(`${name} is "${text}"; it can be ${allowed.join(', ')}.`);
}

/** The JSON object of strings under `name`; `{}` when absent. */
export function readJsonMap(query: Query, name: string): Record<string, string> {
  const text = query.get(name);
  if (text === undefined || text === '') return {};
  const value = parseJson(text);
  if (isRecord(value) && Object.values(value).every((item) => typeof item === 'string')) {
    return value as Record<string, string>;
  }
  throw invalidParameter(`${name} is not a JSON object of strings: ${text}`);
}

/** The comma-separated values under `name`; `undefined` when absent. */
export function readList(query: Query, name: string): string[] | undefined {
  return query
    .get(name)
    ?.split(',')
    .map((item) => item.trim());
}

/** A span of time in milliseconds; both ends belong to it. */
export interface TimeWindow {
  readonly from: number;
  readonly to: number;
}

/**
 * The window that StartTime and EndTime name: by default the seven days before `now`, which is why older jobs vanish from
 * a list that names no StartTime. `YYYY-MM-DD hh:mm:ss` (EAS) and ISO 8601 (DLC) are both UTC.
 */
export function readWindow(query: Query, now: number): TimeWindow {
  const window = { from: readTime(query, 'StartTime') ?? now - WEEK_MS, to: readTime(query, 'EndTime') ?? now };
  if (window.from <= window.to) return window;
  throw invalidParameter(`StartTime ${query.get('StartTime')} is after EndTime ${query.get('EndTime') ?? '(now)'}.`);
}

function readTime(query: Query, name: string): number | undefined {
  const text = query.get(name);
  if (text === undefined || text === '') return undefined;
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d)?$/.exec(text);
  const ms = match ? Date.parse(`${match[1]}T${match[2]}${match[3] ?? 'Z'}`) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw invalidParameter(`${name} is "${text}", not a time such as 2026-01-31T08:00:00Z.`);
}

/** True inside the window, in whole seconds: what happened in a boundary second belongs to it. */
export function isInWindow(at: number, { from, to }: TimeWindow): boolean {
  return toSecond(at) >= toSecond(from) && toSecond(at) <= toSecond(to);
}

export const toSecond = (ms: number): number => Math.floor(ms / 1000);

/** One page of `items`, counted from 1; past the end it is empty. */
export function pageOf<T>(items: readonly T[], pageNumber: number, pageSize: number): T[] {
  return items.slice((pageNumber - 1) * pageSize, pageNumber * pageSize);
}

/** A comparison in code-unit order, turned round by `desc`; equal values keep the order that `sort` gave them. */
export function compareBy<T>(value: (item: T) => string | number, order: 'asc' | 'desc'): (a: T, b: T) => number {
  const sign = order === 'asc' ? 1 : -1;
  return (a, b) => {
    const left = value(a);
    const right = value(b);
    return left < right ? -sign : left > right ? sign : 0;
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

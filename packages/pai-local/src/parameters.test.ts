import { describe, expect, it } from 'vitest';
import { pageOf, readChoice, readInteger, readJsonMap, readList, readWindow } from './parameters.ts';

const query = (values: Record<string, string>) => new Map(Object.entries(values));
const NOW = Date.UTC(2026, 0, 31, 8, 0, 0);
const invalid = expect.objectContaining({ code: 'InvalidParameter' });

describe('readInteger', () => {
  const range = { fallback: 50, min: 1, max: 1000 };
  it('reads a number in range, or the fallback', () => {
    expect(readInteger(query({ PageSize: '7' }), 'PageSize', range)).toBe(7);
    expect(readInteger(query({}), 'PageSize', range)).toBe(50);
  });
  it.each(['0', '1001', '-1', '1.5', 'ten', '1e3', ' 7'])('refuses "%s"', (text) => {
    expect(() => readInteger(query({ PageSize: text }), 'PageSize', range)).toThrow(invalid);
  });
});

describe('readWindow', () => {
  const day = 24 * 3600_000;
  it('is the last seven days unless its ends are given', () => {
    expect(readWindow(query({}), NOW)).toEqual({ from: NOW - 7 * day, to: NOW });
  });
  it.each(['2026-01-30T08:00:00Z', '2026-01-30 08:00:00', '2026-01-30T16:00:00+08:00', '2026-01-30T08:00:00.000Z'])(
    'reads %s as UTC',
    (text) => {
      expect(readWindow(query({ StartTime: text }), NOW).from).toBe(NOW - day);
    },
  );
  it.each(['yesterday', '2026-01-30', '1769760000', '2026-13-30T08:00:00Z'])('refuses %s', (text) => {
    expect(() => readWindow(query({ EndTime: text }), NOW)).toThrow(invalid);
  });
  it('refuses an end before the start', () => {
    expect(() => readWindow(query({ StartTime: '2026-02-01T00:00:00Z' }), NOW)).toThrow(invalid);
  });
});

it('reads choices, lists and maps, and refuses what is none', () => {
  expect(readChoice(query({ Order: 'asc' }), 'Order', ['desc', 'asc'], 'desc')).toBe('asc');
  expect(readChoice(query({}), 'Order', ['desc', 'asc'], 'desc')).toBe('desc');
  expect(() => readChoice(query({ Order: 'up' }), 'Order', ['desc', 'asc'], 'desc')).toThrow(invalid);
  expect(readList(query({ JobIds: 'a, b' }), 'JobIds')).toEqual(['a', 'b']);
  expect(readJsonMap(query({ Tags: '{"a":"b"}' }), 'Tags')).toEqual({ a: 'b' });
  for (const text of ['{', '[]', '{"a":1}', 'null']) {
    expect(() => readJsonMap(query({ Tags: text }), 'Tags')).toThrow(invalid);
  }
});

it('pages count from 1, and end', () => {
  expect([1, 2, 3].map((page) => pageOf(['a', 'b', 'c'], page, 2))).toEqual([['a', 'b'], ['c'], []]);
});

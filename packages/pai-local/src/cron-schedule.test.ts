import { describe, expect, it } from 'vitest';
import { includesDay, includesMinute, parseCronSchedule, wallTime } from './cron-schedule.ts';

/** Minutes of 2026, in UTC, of which 1 January is a Thursday. */
const at = (text: string) => wallTime(Date.parse(`2026-${text}:00Z`), 'UTC');

describe('parseCronSchedule', () => {
  it.each([
    ['0 18 * * * *', ['01-01T07:18', '12-31T23:18'], ['01-01T18:00']],
    ['0 0 8 * * MON-FRI', ['01-01T08:00', '01-02T08:00'], ['01-03T08:00', '01-01T09:00']],
    ['0 */15 8-18/5 * * *', ['01-01T08:45', '01-01T13:00', '01-01T18:30'], ['01-01T09:00', '01-01T08:20']],
    ['0 5/20 * * * *', ['01-01T00:05', '01-01T00:25', '01-01T00:45'], ['01-01T00:00', '01-01T00:20']],
    ['0 0 0 1,15 jan ?', ['01-01T00:00', '01-15T00:00'], ['02-01T00:00', '01-02T00:00']],
    ['0 0 0 ? * 0,7', ['01-04T00:00'], ['01-05T00:00']],
    ['0 0 0 13 * FRI', ['01-02T00:00', '01-13T00:00', '02-13T00:00'], ['01-14T00:00']], // either, as with cron
  ])('reads %s', (text, within, without) => {
    const schedule = parseCronSchedule(text);
    expect(within.filter((time) => !includesMinute(schedule, at(time)))).toEqual([]);
    expect(without.filter((time) => includesMinute(schedule, at(time)))).toEqual([]);
  });

  it('knows the second', () => {
    expect([...parseCronSchedule('10-30/10 0 0 * * *').seconds]).toEqual([10, 20, 30]);
  });

  it.each([
    ...['18 * * * *', '60 * * * * *', '0 0 24 * * *', '0 0 0 0 * *', '0 0 0 * 13 *', '0 0 0 * * 8', '0 5-1 * * * *'],
    ...['0 */0 * * * *', '0 x * * * *', '0 0 0 * FEBR *', '', '0 - * * * *', '0 *5 * * * *'],
  ])('refuses "%s"', (text) => {
    expect(() => parseCronSchedule(text)).toThrow(expect.objectContaining({ code: 'InvalidParameter' }));
  });
});

it('sees a day whatever its hours', () => {
  const date = parseCronSchedule('* * * 1 1 *');
  expect([includesDay(date, at('01-01T23:59')), includesDay(date, at('01-02T00:00'))]).toEqual([true, false]);
});

it('reads the clock of another place', () => {
  const time = Date.UTC(2026, 0, 1, 16, 30); // Shanghai is eight hours ahead
  expect(wallTime(time, 'Asia/Shanghai')).toEqual({ minute: 30, hour: 0, day: 2, month: 1, weekday: 5 });
  expect(() => wallTime(time, 'Mars/Olympus')).toThrow(expect.objectContaining({ code: 'InvalidParameter' }));
});

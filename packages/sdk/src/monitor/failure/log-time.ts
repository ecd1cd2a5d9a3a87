/*
 * Times as training logs print them, all without a zone; the pods of a job share one:
 *   [2026-09-14 15:08:27.273656]   2026-09-14 15:08:27,273   2026-09-14T15:08:27   2026-09-14_15:08:27   20251202 06:56:28
 *   E0914 15:08:27.273656          (glog and PyTorch's C++ side: month and day, no year)
 */
const FULL = /\b(\d{4})-?(\d\d)-?(\d\d)[ T_](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6}))?/;
const GLOG = /(?:^|[\s[])[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?/;
const SEARCHED = 200;

/**
 * The time that a line carries in its first 200 characters, in milliseconds since 1970 as if it were UTC; `undefined` for a
 * line without one. `year` is for formats that print none.
 */
export function timeOfLine(line: string, year: number): number | undefined {
  const text = line.length > SEARCHED ? line.slice(0, SEARCHED) : line;
  const full = FULL.exec(text);
  if (full) return toMs(full.slice(1));
  const glog = GLOG.exec(text);
  return glog ? toMs([String(year), ...glog.slice(1)]) : undefined;
}

function toMs([year, month, day, hour, minute, second, fraction = '']: (string | undefined)[]): number | undefined {
  const ms = Number(fraction.padEnd(3, '0').slice(0, 3));
  const time = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second), ms);
  return Number.isNaN(time) ? undefined : time;
}

/** 1638400 → "1,638,400". */
export const grouped = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 2 });

/** 0.0857 → "8.6 %". */
export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** Bytes as "145.4 GB", in powers of 1000, as storage is sold. */
export function byteText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** Seconds as "66 s", "3.5 min" or "30.2 h". */
export function timeText(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds * 10) / 10} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Two ends with as many figures as tell them apart: "5.0 to 10.3", "372 to 1,584", "6.1" when they are equal. */
export function rangeText({ least, most }: { least: number; most: number }): string {
  const text = (value: number): string => (value < 100 ? value.toFixed(1) : grouped(Math.round(value)));
  return text(least) === text(most) ? text(least) : `${text(least)} to ${text(most)}`;
}

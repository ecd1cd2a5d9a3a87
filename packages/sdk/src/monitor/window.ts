/** The last values of a series, in order of arrival and in order of size. Plain data; never changed in place. */
export interface Window {
  readonly values: readonly number[];
  readonly sorted: readonly number[];
}

/** A window without values. */
export const emptyWindow: Window = { values: [], sorted: [] };

/** A window of these values. */
export function windowOf(values: readonly number[]): Window {
  return { values, sorted: [...values].sort((a, b) => a - b) };
}

/** The window with `value` added and, when it had `size` already, the oldest gone. */
export function addValue({ values, sorted }: Window, value: number, size: number): Window {
  const count = values.length;
  if (count < size) return windowOf([...values, value]);
  const next = values.slice();
  for (let index = 1; index < count; index++) next[index - 1] = next[index] as number;
  next[count - 1] = value;
  // The oldest leaves a gap in the order; its neighbours move up to where the new value belongs.
  const ordered = sorted.slice();
  let gap = placeOf(ordered, values[0] as number);
  while (gap + 1 < count && (ordered[gap + 1] as number) < value) ordered[gap] = ordered[++gap] as number;
  while (gap > 0 && (ordered[gap - 1] as number) > value) ordered[gap] = ordered[--gap] as number;
  ordered[gap] = value;
  return { values: next, sorted: ordered };
}

/** The middle value, or the mean of the two; NaN for an empty window. */
export function medianOf({ sorted }: Window): number {
  const half = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[half] as number;
  return ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}

/** The median of the distances to the median. Times 1.4826 it estimates the standard deviation, whatever outliers there are. */
export function medianDeviation(window: Window): number {
  const median = medianOf(window);
  return medianOf(windowOf(window.sorted.map((value) => Math.abs(value - median))));
}

/** Index of the first element that is not below `value`. */
function placeOf(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

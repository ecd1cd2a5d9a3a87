import asciichart from 'asciichart';

/** One logged point of a run. */
export interface LossPoint {
  iteration: number;
  lmLoss: number;
}

/** The loss over iterations as lines of text; each column is the mean of its points, so that no spike hides between columns. */
export function renderLossCurve(points: readonly LossPoint[], { columns = 70, rows = 10 } = {}): string {
  const finite = points.filter((point) => Number.isFinite(point.lmLoss));
  if (finite.length === 0) return '(no loss was logged)';
  const width = Math.min(columns, finite.length);
  const values = Array.from({ length: width }, (_, column) => {
    const from = Math.floor((column * finite.length) / width);
    const to = Math.floor(((column + 1) * finite.length) / width);
    return finite.slice(from, to).reduce((sum, point) => sum + point.lmLoss, 0) / (to - from);
  });
  const first = finite[0] as LossPoint;
  const last = finite.at(-1) as LossPoint;
  const axis =
    `iteration ${first.iteration}`.padEnd(Math.max(1, width - String(last.iteration).length)) + last.iteration;
  return `${asciichart.plot(values, { height: rows })}\n${' '.repeat(9)}${axis}`;
}

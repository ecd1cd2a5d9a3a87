/** One thing found out about a dataset. */
export interface Finding {
  /** A name of the list in the README, or the code of the error that refused the files (`docs/errors.md`). */
  code: string;
  /** `error`: do not train on this. `warn`: it trains, and probably not as meant. `info`: a fact. */
  level: 'error' | 'warn' | 'info';
  message: string;
  /** What to do. */
  advice?: string;
  numbers?: Record<string, number>;
}

/** A share for a person: two figures, and never rounded to all or to nothing. */
export function percent(share: number): string {
  const value = 100 * share;
  if (value === 0 || value === 100) return `${value} %`;
  if (value < 0.01) return 'below 0.01 %';
  if (value > 99.99) return 'above 99.99 %';
  return `${value < 10 || value > 99 ? value.toFixed(2) : value.toFixed(1)} %`;
}

/** 1638400 → "1,638,400". */
export const grouped = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 2 });

/** 0.0857 → "8.6 %". */
export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** Indices at which a detector alarms in the losses of a run. */
export type LossDetector = (losses: readonly number[]) => number[];
export const rollingZ: LossDetector;
export const emaZ: LossDetector;
export const metaseqRatio: LossDetector;
export const megatronTenfold: LossDetector;
export function medianSpike(deviations: number, factor: number): LossDetector;
export const BASELINES: Readonly<Record<string, LossDetector>>;

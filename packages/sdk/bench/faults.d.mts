import type { LossDetector } from './baselines.mjs';

export interface Fault {
  readonly name: string;
  readonly factor: (index: number) => number;
  readonly lines: number;
  readonly least: number | undefined;
}
export const FAULTS: readonly Fault[];
export function recallOf(
  detector: LossDetector,
  losses: readonly number[],
  fault: Fault,
  places: number,
  random: () => number,
): { recall: number; medianDelay: number | undefined };
export function seededRandom(seed: number): () => number;
export function syntheticLosses(length: number, seed: number): number[];

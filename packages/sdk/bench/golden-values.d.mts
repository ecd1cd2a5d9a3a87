export interface GoldenLosses {
  readonly losses: readonly { readonly iteration: number; readonly lmLoss: number }[];
  readonly lastIteration: number;
  /** Steps of the file, also those of which nothing was recorded. */
  readonly steps: number;
}
export function parseGoldenLosses(text: string): GoldenLosses | undefined;
export function megatronLine(iteration: number, lastIteration: number, lmLoss: number): string;

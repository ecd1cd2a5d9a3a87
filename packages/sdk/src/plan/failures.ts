/**
 * How often a large training fails, from two public records. Llama 3: 419 unexpected interruptions in 54 days on 16,384 GPUs.
 * OPT-175B: about two of 124 nodes of 8 GPUs a day. They lie a factor of four apart, so a plan shows the range.
 */
const GPU_HOURS_BETWEEN_FAILURES = {
  most: (54 * 24 * 16_384) / 419,
  least: (24 * 124 * 8) / 2,
} as const;

/** Two ends of an estimate. */
export interface Range {
  readonly least: number;
  readonly most: number;
}

const between = (a: number, b: number): Range => ({ least: Math.min(a, b), most: Math.max(a, b) });

/** Hours between two failures of a run on `gpus` GPUs; `gpuHours` when it is known for this cluster. */
export function hoursBetweenFailures(gpus: number, gpuHours?: number): Range {
  const { least, most } = GPU_HOURS_BETWEEN_FAILURES;
  return between((gpuHours ?? least) / gpus, (gpuHours ?? most) / gpus);
}

/** Young's interval √(2 · C · MTBF), in hours: the time between checkpoints that loses least to failures and saving together. */
export function youngInterval(saveSeconds: number, { least, most }: Range): Range {
  const hours = (mtbf: number): number => Math.sqrt((2 * saveSeconds * mtbf) / 3600);
  return between(hours(least), hours(most));
}

/** How likely a run of `hours` fails at least once. */
export function failureShare(hours: number, { least, most }: Range): Range {
  const share = (mtbf: number): number => 1 - Math.exp(-hours / mtbf);
  return between(share(least), share(most));
}

/** How the next token is chosen. */
export interface SamplingOptions {
  /** 0 takes the most likely token; larger values flatten the distribution before drawing. */
  readonly temperature: number;
  /** Draws only among the most likely tokens that together reach this probability. */
  readonly topP: number;
}

/** log softmax, in double precision. */
export function logSoftmax(logits: Float32Array): Float64Array {
  const top = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  const logSum = Math.log(sum);
  return Float64Array.from(logits, (logit) => logit - top - logSum);
}

/** A token drawn from `logprobs` with `random` in [0, 1); among equals, the lowest token counts as the most likely one. */
export function sampleToken(logprobs: Float64Array, options: SamplingOptions, random: () => number): number {
  const best = logprobs.reduce((top, logprob, token) => (logprob > (logprobs[top] as number) ? token : top), 0);
  if (options.temperature === 0) return best;
  const top = logprobs[best] as number;
  const weights = logprobs.map((logprob) => Math.exp((logprob - top) / options.temperature));
  const order = Array.from(weights.keys()).sort((a, b) => (weights[b] as number) - (weights[a] as number));
  const weightAt = (rank: number) => weights[order[rank] as number] as number;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let kept = 0;
  let mass = 0;
  while (kept === 0 || (kept < order.length && mass < options.topP * total)) mass += weightAt(kept++);
  let left = random() * mass;
  let rank = 0;
  while (rank < kept - 1 && left >= weightAt(rank)) left -= weightAt(rank++);
  return order[rank] as number;
}

/** A cosine schedule in iterations. */
export interface LearningRateSchedule {
  readonly warmupIterations: number;
  /** Iteration at which the rate has come down to `min`; counted from 0, so the warm-up is a part of it. */
  readonly decayIterations: number;
  readonly peak: number;
  /** Rate at which the warm-up begins; 0 by default. */
  readonly warmupInit?: number;
  readonly min: number;
}

/**
 * The rate once `iteration` updates are made: linear from `warmupInit` to `peak` over the warm-up, then half a cosine down to `min`, then
 * `min`. Megatron steps its scheduler after the update, so update n runs at the rate of n − 1 (the first one at 0 when there is
 * a warm-up), and the log line of iteration n shows the rate of n.
 * Source: NVIDIA/Megatron-LM@00caa53, megatron/core/optimizer_param_scheduler.py, OptimizerParamScheduler.get_lr.
 */
export function learningRate(iteration: number, schedule: LearningRateSchedule): number {
  const { warmupIterations, warmupInit = 0, decayIterations, peak, min } = schedule;
  if (warmupIterations > 0 && iteration <= warmupIterations) {
    return warmupInit + ((peak - warmupInit) * iteration) / warmupIterations;
  }
  if (iteration > decayIterations) return min;
  const progress = (iteration - warmupIterations) / (decayIterations - warmupIterations);
  return min + (peak - min) * 0.5 * (Math.cos(Math.PI * progress) + 1);
}

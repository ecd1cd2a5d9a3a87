import type { Trainer } from '@pai-cpt/model-runner';
import type { ReplicaGroup } from './all-reduce.ts';
import type { Samples } from './samples.ts';

/**
 * Mean next-token loss over every window, each counted once, the windows dealt over the replicas. All replicas get the
 * same number.
 */
export async function validationLoss(
  trainer: Pick<Trainer, 'evaluate'>,
  samples: Samples,
  microBatchSize: number,
  group: ReplicaGroup,
): Promise<number> {
  let sum = 0;
  for (const [i, { windows, weight }] of evaluationBatches(samples.count, microBatchSize).entries()) {
    if (i % group.worldSize !== group.rank) continue;
    sum += weight * (await trainer.evaluate(await samples.read(windows)));
  }
  const total = Float64Array.of(sum);
  await group.sum(total, 'validation losses');
  return (total[0] as number) / samples.count;
}

/** One call of `evaluate`; its mean stands for `weight` windows. */
interface EvaluationBatch {
  readonly windows: readonly number[];
  readonly weight: number;
}

/**
 * All windows in order, in batches of the one size that the graph takes. Windows that do not fill a batch get a batch each,
 * filled with copies: its mean is that window's own loss.
 */
export function evaluationBatches(count: number, microBatchSize: number): EvaluationBatch[] {
  const inFullBatches = count - (count % microBatchSize);
  const batches: EvaluationBatch[] = [];
  for (let first = 0; first < inFullBatches; first += microBatchSize) {
    batches.push({ windows: Array.from({ length: microBatchSize }, (_, i) => first + i), weight: microBatchSize });
  }
  for (let window = inFullBatches; window < count; window++) {
    batches.push({ windows: new Array<number>(microBatchSize).fill(window), weight: 1 });
  }
  return batches;
}

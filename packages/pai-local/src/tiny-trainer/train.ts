import { CptError } from '@pai-cpt/core';
import { learningRate, type Trainer } from '@pai-cpt/model-runner';
import type { ReplicaGroup } from './all-reduce.ts';
import { datetimeLine, iterationLine, validationLines } from './log-lines.ts';
import type { TrainerOptions } from './options.ts';
import { microBatches, type SampleOrder, type Samples } from './samples.ts';
import { validationLoss } from './validation.ts';

/** All that one replica trains with. */
export interface TrainingRun {
  readonly options: TrainerOptions;
  readonly group: ReplicaGroup;
  readonly trainer: Trainer;
  /** Iterations that the loaded weights have seen; the data goes on after theirs, the learning rate begins anew. */
  readonly startIteration?: number;
  readonly samples: Samples;
  readonly order: SampleOrder;
  readonly validation: Samples | undefined;
  /** Takes the lines that Megatron's first rank prints; the other replicas give them nowhere. */
  printFirst(line: string): void;
  /** Takes those of its last rank. */
  printLast(line: string): void;
  /** Writes the checkpoint of this iteration together with the other replicas. */
  save(iteration: number): Promise<void>;
  /** True once this replica was told to stop. */
  isStopRequested(): boolean;
}

/**
 * Trains to the last iteration, as Megatron's `pretrain` does: save and evaluate at their intervals, then the last save,
 * then the validation. Returns `stopped` when any replica was told to stop; nothing is saved then.
 * @throws CptError `CPT_TRAIN_DIVERGED` when the loss or the gradient norm is not finite, after its log line.
 */
export async function train(run: TrainingRun): Promise<'finished' | 'stopped'> {
  const { options, printFirst, printLast } = run;
  const { trainIterations, saveInterval, saveDirectory, evalInterval } = options;
  const { startIteration = 0 } = run;
  printFirst(datetimeLine('before the start of training step', new Date()));
  for (let iteration = startIteration + 1; iteration <= trainIterations; iteration++) {
    const started = performance.now();
    const step = await trainStep(run, iteration);
    const elapsedMs = performance.now() - started;
    printLast(iterationLine({ ...report(run, iteration, step), elapsedMs, at: new Date() }));
    if (!Number.isFinite(step.lmLoss) || !Number.isFinite(step.gradNorm)) throw diverged(iteration, step);
    if (evalInterval && iteration % evalInterval === 0) await evaluate(run, `iteration ${iteration}`);
    if (step.isStopped) {
      printFirst(datetimeLine('exiting program after receiving SIGTERM.', new Date()));
      return 'stopped';
    }
    if (saveInterval && iteration % saveInterval === 0) await run.save(iteration);
  }
  printFirst(datetimeLine('after training is done', new Date()));
  const isSaved = saveInterval !== undefined && trainIterations % saveInterval === 0;
  if (saveDirectory && !isSaved) await run.save(trainIterations);
  await evaluate(run, `iteration ${trainIterations} on validation set`);
  return 'finished';
}

interface Step {
  readonly lmLoss: number;
  readonly gradNorm: number;
  readonly isStopped: boolean;
}

/** One update from the mean over all micro-batches of all replicas, which then hold equal parameters again. */
async function trainStep(run: TrainingRun, iteration: number): Promise<Step> {
  const { options, group, trainer, samples, order } = run;
  const { globalBatchSize, microBatchSize } = options;
  const layout = { rank: group.rank, worldSize: group.worldSize, microBatchSize, globalBatchSize };
  const batches = microBatches(order, (iteration - 1) * globalBatchSize, layout);
  let total: Float32Array | undefined;
  let lossSum = 0;
  for (const windows of batches) {
    const { loss, gradients } = await trainer.gradients(await samples.read(windows));
    lossSum += loss;
    total = total ? addTo(total, gradients) : gradients;
  }
  const mean = total as Float32Array;
  await group.sum(mean, `gradients of iteration ${iteration}`);
  const parts = batches.length * group.worldSize;
  for (let i = 0; i < mean.length; i++) mean[i] = (mean[i] as number) / parts;

  const shared = Float64Array.of(lossSum / parts, run.isStopRequested() ? 1 : 0);
  await group.sum(shared, `losses of iteration ${iteration}`);
  const [lmLoss, stops] = shared as unknown as [number, number];
  // Megatron's scheduler steps after the optimizer: iteration i is applied with the rate of i - 1 steps, the first at 0. With
  // --no-load-optim it is not loaded either, so after a checkpoint it counts from there.
  const { gradNorm } = trainer.apply(mean, rate(options, iteration - 1 - (run.startIteration ?? 0)));
  return { lmLoss, gradNorm, isStopped: stops > 0 };
}

function addTo(total: Float32Array, gradients: Float32Array): Float32Array {
  for (let i = 0; i < total.length; i++) total[i] = (total[i] as number) + (gradients[i] as number);
  return total;
}

function rate(options: TrainerOptions, steps: number): number {
  const { warmupIterations, warmupInit, decayIterations, learningRate: peak, minLearningRate: min } = options;
  return learningRate(steps, { warmupIterations, warmupInit, decayIterations, peak, min });
}

function report({ options, startIteration = 0 }: TrainingRun, iteration: number, { lmLoss, gradNorm }: Step) {
  const { trainIterations, globalBatchSize } = options;
  const consumedSamples = iteration * globalBatchSize;
  return {
    iteration,
    trainIterations,
    consumedSamples,
    globalBatchSize,
    lmLoss,
    gradNorm,
    learningRate: rate(options, iteration - startIteration),
  };
}

async function evaluate(run: TrainingRun, where: string): Promise<void> {
  if (!run.validation) return;
  const { trainer, validation, options, group } = run;
  const loss = await validationLoss(trainer, validation, options.microBatchSize, group);
  for (const line of validationLines(where, loss)) run.printLast(line);
}

function diverged(iteration: number, { lmLoss, gradNorm }: Step): CptError {
  const message = `iteration ${iteration}: lm loss ${lmLoss}, grad norm ${gradNorm}; nothing more can be learned. Lower --lr or lengthen the warm-up`;
  return new CptError('CPT_TRAIN_DIVERGED', message, { iteration });
}

import type { CptClient, JobEvent } from '@pai-cpt/sdk';
import { Presets, SingleBar } from 'cli-progress';
import type { LossPoint } from '../loss-curve.ts';
import { appendLine, isTerminal } from '../node.ts';
import { check } from './stages.ts';

/** What the log of a finished run said. */
export interface TrainingResult {
  points: LossPoint[];
  /** PAI's statuses, in order. */
  statuses: string[];
  checkpoints: { iteration: number; directory: string }[];
  validationLoss: number;
  firstLoss: number;
  lastLoss: number;
}

/**
 * Follows a job to its end and stores each logged point as a line of JSON as it comes, so that a stopped demo keeps what
 * it saw. The job must succeed, learn (the loss falls by 1.0 at least) and save.
 */
export async function watchTraining(
  client: CptClient,
  jobId: string,
  lossFile: string,
  signal: AbortSignal,
): Promise<TrainingResult> {
  const points: LossPoint[] = [];
  const statuses: string[] = [];
  const checkpoints: TrainingResult['checkpoints'] = [];
  let validationLoss: number | undefined;
  const bar = isTerminal
    ? new SingleBar({ format: '{bar} {value}/{total} iterations, loss {loss}' }, Presets.shades_classic)
    : undefined;
  try {
    for await (const event of client.jobs.follow(jobId, { signal, pollMs: 250 })) {
      if (event.type === 'phase-change') statuses.push(event.status);
      if (event.type === 'checkpoint-saved')
        checkpoints.push({ iteration: event.iteration, directory: event.directory });
      if (event.type === 'validation') validationLoss = event.lmLoss;
      if (event.type === 'end')
        check(event.phase === 'succeeded', `the job ended as ${event.phase}: ${event.reason ?? ''}`);
      if (event.type !== 'iteration' || event.lmLoss === undefined) continue;
      points.push({ iteration: event.iteration, lmLoss: event.lmLoss });
      await appendLine(lossFile, JSON.stringify(pointOf(event)));
      if (points.length === 1) bar?.start(event.trainIterations, 0, { loss: '' });
      bar?.update(event.iteration, { loss: event.lmLoss.toFixed(3) });
    }
  } finally {
    bar?.stop();
  }
  const [first, last] = [points[0], points.at(-1)];
  check(first !== undefined && last !== undefined, 'the job logged no iteration');
  check(validationLoss !== undefined, 'the job logged no validation loss');
  check(checkpoints.length > 0, 'the job saved no checkpoint');
  check(first.lmLoss - last.lmLoss >= 1, `the loss fell from ${first.lmLoss} to ${last.lmLoss} only; 1.0 is expected`);
  return { points, statuses, checkpoints, validationLoss, firstLoss: first.lmLoss, lastLoss: last.lmLoss };
}

function pointOf(event: Extract<JobEvent, { type: 'iteration' }>) {
  const { iteration, lmLoss, learningRate, gradNorm, elapsedMs, consumedSamples } = event;
  return { iteration, lmLoss, learningRate, gradNorm, elapsedMs, consumedSamples };
}

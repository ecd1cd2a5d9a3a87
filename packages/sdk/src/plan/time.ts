import { parameterCount } from '../models.ts';
import type { Finding } from '../schemas.ts';
import { checkCost } from './cost.ts';
import { checkpointBytes } from './disk.ts';
import { grouped, timeText } from './format.ts';
import type { PlanInput } from './plan-input.ts';
import { countSaves } from './save-count.ts';

/** Assumed where no facts are given, and named in the finding: an A100, and what large dense models reach on it. */
const PEAK_TFLOPS = 312;
const UTILIZATION = 0.35;
/** Of the peak, what runs of this kind are reported to reach; shown where the caller gives no figure of his own. */
const UTILIZATIONS = { least: 0.3, most: 0.5 } as const;
const BYTES_PER_SECOND = 1e9;

/** Pulling the image, starting processes and connecting them. */
const START_SECONDS = 300;

/** AIMaster's default: no log line for this long counts as a hang. The launch scripts log every iteration. */
const HANG_SECONDS = 1800;

/** Bytes a second that the job reads and writes; 1 GB/s where it is not known. */
export const storageSpeed = ({ facts }: PlanInput): number => facts.storage?.bytesPerSecond ?? BYTES_PER_SECOND;

/** How long the run takes, in seconds, by part. */
export interface TimeUse {
  readonly flops: number;
  readonly iteration: number;
  readonly training: number;
  readonly start: number;
  readonly saving: number;
  readonly total: number;
}

/**
 * An estimate, without waiting in a queue. Forward and backward take 6 operations for each parameter and token, attention
 * 12 · layers · width · length more for each token.
 */
export function timeUse(input: PlanInput): TimeUse {
  const { model, hyper, gpus, steps, facts } = input;
  const { peakTflops = PEAK_TFLOPS, utilization = UTILIZATION } = facts.gpu ?? {};
  const speed = storageSpeed(input);
  const parameters = parameterCount(model, model.vocabSize ?? facts.dataset?.vocabSize ?? 0);
  const attention = 12 * model.layers * model.heads * model.headDim * hyper.sequence_length;
  const flops = (6 * parameters + attention) * steps.tokensPerIteration;
  const iteration = flops / (gpus * peakTflops * 1e12 * utilization);
  const training = iteration * steps.iterations;
  const { checkpoint, weights } = checkpointBytes(input);
  const start = START_SECONDS + (input.spec.baseCheckpoint === undefined ? 0 : weights / speed);
  const saving = (countSaves(input).total * checkpoint) / speed;
  return { flops: flops * steps.iterations, iteration, training, start, saving, total: training + start + saving };
}

/** P13: how long it takes and what it costs. */
export function checkTime(input: PlanInput): Finding[] {
  const { spec, gpus, steps, facts } = input;
  if (steps.iterations === 0) return [];
  const use = timeUse(input);
  const { peakTflops = PEAK_TFLOPS, utilization = UTILIZATION } = facts.gpu ?? {};
  const { least, most } =
    facts.gpu?.utilization === undefined ? UTILIZATIONS : { least: utilization, most: utilization };
  const [fastest, slowest] = [most, least].map((share) => (use.training * utilization) / share) as [number, number];
  const range =
    least === most ? '' : `, ${timeText(fastest)} to ${timeText(slowest)} at ${most * 100} to ${least * 100} %`;
  const how = `${gpus} GPUs × ${peakTflops} TFLOP/s × ${Math.round(utilization * 100)} %${facts.gpu?.peakTflops === undefined ? ' (assumed)' : ''}`;
  const message = `${grouped(steps.iterations)} iterations × ${timeText(use.iteration)} = ${timeText(use.training)} on ${how}${range}; with start ${timeText(use.start)} and saving ${timeText(use.saving)} about ${timeText(use.total)}`;
  const numbers = {
    ...{ flops: use.flops, iteration: use.iteration, training: use.training, seconds: use.total },
    ...{ fastest, slowest },
  };
  const minutes = Math.ceil((2 * use.total) / 60);
  const { maxRunningTimeMinutes: limit } = spec;
  const findings: Finding[] = [];
  if (limit === undefined) {
    const advice = `set maxRunningTimeMinutes to ${minutes}, twice that, so that a hanging job ends`;
    findings.push({ check: 'P13', level: 'info', message, numbers, advice });
  } else if (use.total > limit * 60) {
    const text = `${message}, but PAI stops the job after ${limit} min`;
    const advice = `set maxRunningTimeMinutes to ${minutes}`;
    findings.push({ check: 'P13', level: 'warn', message: text, numbers: { ...numbers, limitMinutes: limit }, advice });
  } else {
    findings.push({ check: 'P13', level: 'info', message, numbers });
  }
  return [...findings, ...checkCost(input, use.total / 3600)];
}

/** P14: neither an iteration nor the start is taken for a hang. */
export function checkHang(input: PlanInput): Finding[] {
  if (input.steps.iterations === 0) return [];
  const { iteration, start } = timeUse(input);
  const limit = input.facts.launcher?.hangSeconds ?? HANG_SECONDS;
  const numbers = { iteration, start, limit };
  const advice = 'raise AIMaster’s --job-hang-interval';
  const findings: Finding[] = [];
  const add = (message: string): void => void findings.push({ check: 'P14', level: 'warn', message, numbers, advice });
  if (iteration >= limit)
    add(`an iteration takes ${timeText(iteration)}; after ${limit} s AIMaster takes it for a hang`);
  if (start >= limit) add(`start and loading take ${timeText(start)}; after ${limit} s AIMaster takes it for a hang`);
  return findings;
}

import { parameterCount } from '../models.ts';
import type { Finding } from '../schemas.ts';
import { checkpointBytes } from './disk.ts';
import { grouped, timeText } from './format.ts';
import type { PlanInput } from './plan-input.ts';
import { countSaves } from './saves.ts';

/** Assumed where no facts are given, and named in the finding: an A100, and what large dense models reach on it. */
const PEAK_TFLOPS = 312;
const UTILIZATION = 0.35;
const BYTES_PER_SECOND = 1e9;

/** Pulling the image, starting processes and connecting them. */
const START_SECONDS = 300;

/** AIMaster's default: no log line for this long counts as a hang. The launch scripts log every iteration. */
const HANG_SECONDS = 1800;

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
  const speed = facts.storage?.bytesPerSecond ?? BYTES_PER_SECOND;
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
  const how = `${gpus} GPUs × ${peakTflops} TFLOP/s × ${Math.round(utilization * 100)} %${facts.gpu?.peakTflops === undefined ? ' (assumed)' : ''}`;
  const message = `${grouped(steps.iterations)} iterations × ${timeText(use.iteration)} = ${timeText(use.training)} on ${how}; with start ${timeText(use.start)} and saving ${timeText(use.saving)} about ${timeText(use.total)}`;
  const numbers = { flops: use.flops, iteration: use.iteration, training: use.training, seconds: use.total };
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

function checkCost({ spec, facts }: PlanInput, hours: number): Finding[] {
  const { prices } = facts;
  if (!prices) return [];
  const { nodes, ecsSpec, quotaId, gpuType } = spec.compute;
  const names = [ecsSpec, quotaId, gpuType].filter((name) => name !== undefined);
  const priced = names.find((name) => Object.hasOwn(prices.perNodeHour, name));
  if (priced === undefined) {
    const message = `the price table has no ${names.join(' or ')}`;
    return [{ check: 'P13', level: 'info', message, numbers: {}, advice: 'add the price of a node for an hour' }];
  }
  const price = prices.perNodeHour[priced] as number;
  const cost = nodes * hours * price;
  const { most = Number.POSITIVE_INFINITY, currency } = prices;
  const isOver = cost > most;
  const numbers = { nodes, hours, price, cost };
  const formula = `${nodes} nodes × ${hours.toFixed(2)} h × ${grouped(price)} = ${grouped(cost)} ${currency}`;
  if (!isOver) return [{ check: 'P13', level: 'info', message: formula, numbers }];
  const message = `${formula}, more than the ${grouped(most)} ${currency} it may cost`;
  return [{ check: 'P13', level: 'warn', message, numbers: { ...numbers, most }, advice: 'lower train_tokens' }];
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

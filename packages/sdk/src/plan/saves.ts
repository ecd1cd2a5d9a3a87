import type { Finding } from '../schemas.ts';
import { checkpointBytes } from './disk.ts';
import { failureShare, hoursBetweenFailures, youngInterval } from './failures.ts';
import { grouped, percent, rangeText } from './format.ts';
import type { PlanInput } from './plan-input.ts';
import { countSaves } from './save-count.ts';
import { storageSpeed, timeUse } from './time.ts';

/** Shorter runs are begun again rather than saved. */
const LONG_SECONDS = 3600;

/** P9: something is saved before the end, and about as often as failures make worth while. */
export function checkSaves(input: PlanInput): Finding[] {
  const { hyper, steps } = input;
  const { iterations } = steps;
  const { save_interval: interval } = hyper;
  if (iterations === 0) return [];
  const { periodic, total } = countSaves(input);
  const formula = `⌊${grouped(iterations)} iterations / save_interval ${grouped(interval)}⌋ = ${grouped(periodic)} periodic checkpoints`;
  const numbers = { iterations, saveInterval: interval, periodicSaves: periodic, saves: total };
  if (interval < iterations) {
    const message = `${formula}, ${grouped(total)} with the one at the end`;
    return [{ check: 'P9', level: 'info', message, numbers }, ...checkInterval(input)];
  }
  return [
    {
      check: 'P9',
      level: 'warn',
      message: `${formula}: nothing is saved before the end, so a failure, a preemption or a stop loses 100 % of the run`,
      numbers,
      advice: `set save_interval to ${grouped(Math.max(1, Math.floor(iterations / 2)))} or less`,
    },
    ...checkInterval(input),
  ];
}

/** The interval beside the one by Young's formula; PAI's guide says 500 to 1000 iterations whatever they take. */
function checkInterval(input: PlanInput): Finding[] {
  const { training, iteration } = timeUse(input);
  if (training < LONG_SECONDS) return [];
  const { hyper, steps, gpus, facts } = input;
  const hours = (hyper.save_interval * iteration) / 3600;
  const saveSeconds = checkpointBytes(input).checkpoint / storageSpeed(input);
  const apart = hoursBetweenFailures(gpus, facts.gpu?.hoursBetweenFailures);
  const young = youngInterval(saveSeconds, apart);
  const failing = failureShare(training / 3600, apart);
  const share = `${percent(failing.least)} to ${percent(failing.most)}`;
  const message = `one save every ${rangeText({ least: hours, most: hours })} h; √(2 × ${saveSeconds.toFixed(0)} s × one failure in ${rangeText(apart)} h on ${gpus} GPUs) = ${rangeText(young)} h is the best; the run fails at least once with a probability of ${share}`;
  const numbers = {
    ...{ hours, saveSeconds, youngLeast: young.least, youngMost: young.most },
    ...{ failureLeast: failing.least, failureMost: failing.most },
  };
  if (hours <= 2 * young.most) return [{ check: 'P9', level: 'info', message, numbers }];
  const best = Math.max(1, Math.min(steps.iterations, Math.round((young.most * 3600) / iteration)));
  const advice = `set save_interval to ${grouped(best)} or less; PAI’s guide says 500 to 1,000 iterations`;
  return [{ check: 'P9', level: 'warn', message, numbers, advice }];
}

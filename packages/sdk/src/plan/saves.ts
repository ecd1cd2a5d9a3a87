import type { Finding } from '../schemas.ts';
import { grouped } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** Checkpoints of a run: one every `save_interval`, and one at the end unless the last of these is at the end. */
export function countSaves({ hyper, steps }: PlanInput): { periodic: number; total: number } {
  const periodic = Math.floor(steps.iterations / hyper.save_interval);
  const isEndSaved = steps.iterations === 0 || steps.iterations % hyper.save_interval === 0;
  return { periodic, total: periodic + (isEndSaved ? 0 : 1) };
}

/** P9: something is saved before the end. */
export function checkSaves(input: PlanInput): Finding[] {
  const { hyper, steps } = input;
  const { iterations } = steps;
  const { save_interval: interval } = hyper;
  if (iterations === 0) return [];
  const { periodic, total } = countSaves(input);
  const formula = `⌊${grouped(iterations)} iterations / save_interval ${grouped(interval)}⌋ = ${grouped(periodic)} periodic checkpoints`;
  const numbers = { iterations, saveInterval: interval, periodicSaves: periodic, saves: total };
  if (interval < iterations) {
    return [{ check: 'P9', level: 'info', message: `${formula}, ${grouped(total)} with the one at the end`, numbers }];
  }
  return [
    {
      check: 'P9',
      level: 'warn',
      message: `${formula}: nothing is saved before the end, so a failure, a preemption or a stop loses 100 % of the run`,
      numbers,
      advice: `set save_interval to ${grouped(Math.max(1, Math.floor(iterations / 2)))} or less`,
    },
  ];
}

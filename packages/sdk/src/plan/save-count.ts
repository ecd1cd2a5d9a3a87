import type { PlanInput } from './plan-input.ts';

/** Checkpoints of a run: one every `save_interval`, and one at the end unless the last of these is at the end. */
export function countSaves({ hyper, steps }: Pick<PlanInput, 'hyper' | 'steps'>): { periodic: number; total: number } {
  const periodic = Math.floor(steps.iterations / hyper.save_interval);
  const isEndSaved = steps.iterations === 0 || steps.iterations % hyper.save_interval === 0;
  return { periodic, total: periodic + (isEndSaved ? 0 : 1) };
}

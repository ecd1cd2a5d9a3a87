import { CptError } from '@pai-cpt/core';
import pc from 'picocolors';
import { print } from '../node.ts';

/** Runs stages in order, prints a line for each when it is done, and keeps the time of each. */
export function createStages(total: number) {
  const perStage: Record<string, number> = {};
  const started = performance.now();
  const seconds = (from: number) => Math.round((performance.now() - from) / 10) / 100;
  let number = 0;
  return {
    perStage,
    total: () => seconds(started),
    /** Runs `work`, prints `describe` of its result, and gives the result back. */
    async run<T>(name: string, work: () => Promise<T>, describe: (result: T) => string): Promise<T> {
      const from = performance.now();
      const label = `[${++number}/${total}] ${name.padEnd(8)}`;
      try {
        const result = await work();
        perStage[name] = seconds(from);
        print(`${pc.green(label)} ${describe(result)}  ${pc.dim(`${perStage[name].toFixed(1)} s`)}`);
        return result;
      } catch (error) {
        print(`${pc.red(label)} failed after ${seconds(from).toFixed(1)} s`);
        throw error;
      }
    },
  };
}

/** Ends the demo with `CPT_CHECK_FAILED` when something that must hold does not. */
export function check(holds: boolean, message: string): asserts holds {
  if (!holds) throw new CptError('CPT_CHECK_FAILED', message);
}

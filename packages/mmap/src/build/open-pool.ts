import type { BuildPlan } from '../build-plan.ts';
import type { EncodeRules } from './encode-rules.ts';
import { createWorkEncoder, type WorkEncoder } from './encode-work.ts';
import { startThread } from './node.ts';
import { createLocalPool, createThreadPool, type EncoderPool } from './pool.ts';
import { createTextEngine } from './text-engine.ts';

/** The encoders of a build: so many threads, or none of their own. */
export async function openPool(plan: BuildPlan, rules: EncodeRules, execArgv?: string[]): Promise<EncoderPool> {
  if (plan.workers === 0) return createLocalPool(await createLocalEncoder(plan, rules));
  const { engine } = plan;
  return createThreadPool(plan.workers, (events) => startThread({ engine, rules }, events, execArgv));
}

/** An encoder in this thread. */
export async function createLocalEncoder(plan: BuildPlan, rules: EncodeRules): Promise<WorkEncoder> {
  return createWorkEncoder(await createTextEngine(plan.engine, rules.specials), rules);
}

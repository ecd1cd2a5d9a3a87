import type { BuildPlan } from '../build-plan.ts';
import { STDIN } from '../documents/input-file.ts';
import { createBatchEncoder, type EncodeBatch } from './encode-batch.ts';
import type { EncodeRules } from './encode-rules.ts';
import { coreCount, readTokenizerJson, startThread } from './node.ts';
import { createLocalPool, createThreadPool, type EncoderPool } from './pool.ts';
import { createTextEngine, type EngineSource, prepareEngine } from './text-engine.ts';

/** Inputs up to this size are encoded before threads have started and loaded their tables. */
const LOCAL_BYTES = 8e6;

/** The encoders of a build: so many threads, or none of their own. */
export async function openPool(
  plan: BuildPlan,
  options: { workers?: number | undefined; rules: EncodeRules; execArgv?: string[] | undefined },
): Promise<EncoderPool> {
  const isSmall = plan.bytesTotal <= LOCAL_BYTES && plan.inputs.every(({ path }) => path !== STDIN);
  const workers = options.workers ?? (isSmall ? 0 : coreCount());
  const { rules, execArgv } = options;
  if (workers === 0) return createLocalPool(await createLocalEncoder(plan, rules));
  const setup = { engine: await engineSource(plan), rules };
  return createThreadPool(workers, (events) => startThread(setup, events, execArgv));
}

/** An encoder in this thread. */
export async function createLocalEncoder(plan: BuildPlan, rules: EncodeRules): Promise<EncodeBatch> {
  return createBatchEncoder(await createTextEngine(await engineSource(plan), rules.specials), rules);
}

async function engineSource({ tokenizer, rules }: BuildPlan): Promise<EngineSource> {
  const json = await readTokenizerJson(tokenizer.file, tokenizer.fingerprint);
  return prepareEngine(json, tokenizer.file, rules.specials);
}

import { omitUndefined } from '../omit-undefined.ts';
import { type CptRunSpecInput, parseRunSpec } from '../run-spec.ts';
import type { Finding, Plan } from '../schemas.ts';
import { checkBaseCheckpoint } from './base-checkpoint.ts';
import { checkBatch, checkSplit } from './batch.ts';
import { checkData, epochsOf } from './data.ts';
import { checkDisk } from './disk.ts';
import { checkEvaluation } from './evaluation.ts';
import { checkIterations, checkWarmup } from './iterations.ts';
import { alternativeLayouts, stageMemory } from './layouts.ts';
import { checkLearningRate } from './learning-rate.ts';
import { checkMemory } from './memory.ts';
import type { PlanFacts } from './plan-facts.ts';
import { type PlanInput, planInput } from './plan-input.ts';
import { checkPlatform } from './platform.ts';
import { checkResume } from './resume.ts';
import { countSaves } from './save-count.ts';
import { checkSaves } from './saves.ts';
import { checkSuitability } from './suitability.ts';
import { checkHang, checkTime, timeUse } from './time.ts';
import { checkVocabulary } from './vocabulary.ts';

/** Every check, in the order its findings are shown. */
const CHECKS: readonly ((input: PlanInput) => Finding[])[] = [
  checkIterations,
  checkWarmup,
  checkBatch,
  checkSplit,
  checkMemory,
  checkData,
  checkSuitability,
  checkVocabulary,
  checkBaseCheckpoint,
  checkSaves,
  checkDisk,
  checkResume,
  checkEvaluation,
  checkTime,
  checkHang,
  checkLearningRate,
  checkPlatform,
];

/**
 * What a run will do and what speaks against it. Pure: nothing is read, asked or sent.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a specification that is not one.
 */
export function planRun(spec: CptRunSpecInput, facts: PlanFacts = {}): Plan {
  const input = planInput(parseRunSpec(spec), facts);
  const { steps } = input;
  const findings = CHECKS.flatMap((check) => check(input));
  const { start, training, saving, total } = timeUse(input);
  return omitUndefined({
    iterations: steps.iterations,
    warmupIterations: steps.warmupIterations,
    tokensPerIteration: steps.tokensPerIteration,
    tokens: steps.iterations * steps.tokensPerIteration,
    epochs: epochsOf(input),
    saves: countSaves(input).total,
    saveInterval: input.hyper.save_interval,
    gpus: input.gpus,
    gpuMemoryGiB: input.spec.compute.gpuMemoryGiB,
    memory: stageMemory(input),
    layouts: alternativeLayouts(input),
    duration: { startSeconds: start, trainingSeconds: training, savingSeconds: saving, totalSeconds: total },
    isBlocked: findings.some(({ level }) => level === 'block'),
    findings,
  });
}

import { parameterCount } from '../models.ts';
import type { Finding } from '../schemas.ts';
import { byteText, grouped } from './format.ts';
import type { PlanInput } from './plan-input.ts';
import { countSaves } from './save-count.ts';

/** bf16 weights; with fp32 copy and Adam's two moments. */
const WEIGHT_BYTES = 2;
const FULL_BYTES = 14;
const USABLE = 0.9;

/** Bytes of one checkpoint of the run. The launch scripts save weights alone unless they are changed. */
export function checkpointBytes({ model, facts }: PlanInput): { checkpoint: number; weights: number } {
  const parameters = parameterCount(model, model.vocabSize ?? facts.dataset?.vocabSize ?? 0);
  const perParameter = facts.launcher?.savesOptimizer ? FULL_BYTES : WEIGHT_BYTES;
  return { checkpoint: parameters * perParameter, weights: parameters * WEIGHT_BYTES };
}

/** What lies on the storage when the run has ended and is converted, and one checkpoint that a crash left half written. */
export function storedBytes(input: PlanInput): number {
  const { checkpoint, weights } = checkpointBytes(input);
  return checkpoint * (countSaves(input).total + 1) + weights;
}

/** P10: every checkpoint, one that is half written, and the converted copy fit; none is deleted by the run. */
export function checkDisk(input: PlanInput): Finding[] {
  if (input.steps.iterations === 0) return [];
  const { total: saves } = countSaves(input);
  const { checkpoint, weights } = checkpointBytes(input);
  const need = storedBytes(input);
  const { freeBytes, source } = input.facts.storage ?? {};
  const count = `${grouped(saves)} ${saves === 1 ? 'checkpoint' : 'checkpoints'}`;
  const formula = `${count} and one half written × ${byteText(checkpoint)} + Hugging Face copy ${byteText(weights)} = ${byteText(need)}`;
  const numbers = { saves, checkpointBytes: checkpoint, weightBytes: weights, need };
  if (freeBytes === undefined) return [{ check: 'P10', level: 'info', message: formula, numbers }];
  const isEnough = need <= freeBytes * USABLE;
  return [
    {
      check: 'P10',
      level: isEnough ? 'info' : 'block',
      message: `${formula} ${isEnough ? '≤' : '>'} 90 % of the ${byteText(freeBytes)} that are free${source === undefined ? '' : ` (${source})`}`,
      numbers: { ...numbers, freeBytes },
      ...(isEnough ? {} : { advice: 'raise save_interval, free space, or delete older checkpoints during the run' }),
    },
  ];
}

import type { Finding } from '../schemas.ts';
import { grouped } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** Fixed in the launch scripts: --eval-interval 10000. */
const EVAL_INTERVAL = 10_000;

/** P12: whether a validation loss is measured during the run. */
export function checkEvaluation({ steps }: PlanInput): Finding[] {
  const { iterations } = steps;
  if (iterations === 0) return [];
  const evaluations = Math.floor(iterations / EVAL_INTERVAL);
  const numbers = { iterations, evalInterval: EVAL_INTERVAL, evaluations };
  const formula = `⌊${grouped(iterations)} iterations / eval-interval ${grouped(EVAL_INTERVAL)}⌋ = ${grouped(evaluations)} validations on the 1 of the split 99, 1, 0`;
  if (evaluations > 0) return [{ check: 'P12', level: 'info', message: `${formula} during the run`, numbers }];
  const message = `${formula}: no validation loss during the run`;
  return [
    { check: 'P12', level: 'info', message, numbers, advice: 'evaluate the converted checkpoint on held-out text' },
  ];
}

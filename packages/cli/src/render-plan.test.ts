import type { Plan } from '@pai-cpt/sdk';
import { describe, expect, it } from 'vitest';
import { renderPlan } from './render-plan.ts';

const plan: Plan = {
  iterations: 50,
  warmupIterations: 5,
  tokensPerIteration: 32_768,
  tokens: 1_638_400,
  epochs: 0.5,
  saves: 0,
  isBlocked: false,
  findings: [
    {
      check: 'P9',
      level: 'warn',
      message: 'nothing is saved before the end',
      numbers: { iterations: 50 },
      advice: 'save every 25',
    },
  ],
};
const plain = (text: string) => text.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g'), '');

describe('renderPlan', () => {
  it('shows figures, findings with advice, and the verdict', () => {
    expect(plain(renderPlan(plan)).split('\n')).toEqual([
      '50 iterations, 5 of them warm-up; checkpoints saved: 0',
      '32,768 tokens an iteration, 1,638,400 in all = 0.50 epochs of the dataset',
      'warn  P9  nothing is saved before the end',
      '          save every 25',
      'ready to submit',
    ]);
  });

  it('says that a blocked plan is blocked', () => {
    expect(plain(renderPlan({ ...plan, isBlocked: true }))).toMatch(/blocked: .*$/);
  });
});

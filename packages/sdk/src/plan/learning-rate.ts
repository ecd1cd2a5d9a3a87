import type { Finding } from '../schemas.ts';
import type { PlanInput } from './plan-input.ts';

/** Where continued pre-training of a trained model is stable (guide of PAI: start at 5e-5, lower it when unstable). */
const USUAL = { least: 1e-6, most: 5e-5 } as const;

/** P15: the peak and the floor of the learning rate. */
export function checkLearningRate({ hyper, steps }: PlanInput): Finding[] {
  const { learning_rate: peak, min_learning_rate: floor } = hyper;
  const numbers = { learningRate: peak, minLearningRate: floor, decayIterations: steps.iterations };
  if (floor > peak) {
    return [
      {
        check: 'P15',
        level: 'block',
        message: `min_learning_rate ${floor} is above learning_rate ${peak}: Megatron stops at max_lr >= min_lr`,
        numbers,
        advice: `set min_learning_rate to ${peak / 10}, a tenth of the peak`,
      },
    ];
  }
  if (peak < USUAL.least || peak > USUAL.most) {
    return [
      {
        check: 'P15',
        level: 'warn',
        message: `learning_rate ${peak} is outside ${USUAL.least} to ${USUAL.most}, where continued pre-training is stable`,
        numbers,
        advice: peak > USUAL.most ? 'start at 5e-5 and lower it when the loss spikes' : 'start at 5e-5',
      },
    ];
  }
  if (floor === peak) {
    return [
      {
        check: 'P15',
        level: 'warn',
        message: `min_learning_rate equals learning_rate ${peak}: the rate never falls`,
        numbers,
        advice: `set min_learning_rate to ${peak / 10}, a tenth of the peak`,
      },
    ];
  }
  return [
    {
      check: 'P15',
      level: 'info',
      message: `learning rate ${peak}, falling to ${floor} along a cosine over ${steps.iterations} iterations`,
      numbers,
    },
  ];
}

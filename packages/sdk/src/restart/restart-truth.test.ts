import { describe, expect, it } from 'vitest';
import { restartTruth } from './restart-truth.ts';

const newest = { iteration: 800, folder: 'run', format: 'torch', hasOptimizer: false } as const;
const checkpoints = { newest, incomplete: [{ iteration: 900, problems: ['mp_rank_00: is not there'] }], notes: [] };

describe('restartTruth', () => {
  it('the scripts as they are begin again from the base, whatever is saved', () => {
    const truth = restartTruth({ checkpoints, lastIteration: 850, launcher: { restartsByItself: true } });
    expect(truth).toMatchObject({ outcome: 'from-base', restartsByItself: true, lostIterations: 850 });
    expect(truth.parts.some(({ isKept }) => isKept)).toBe(false);
    expect(truth.summary).toBe(
      'a restart of this job begins again at iteration 0 and loses 850 iterations, though iteration 800 is saved: jobs.resume() goes on from there',
    );
    expect(truth.notes).toEqual(['iteration 900 is not complete: mp_rank_00: is not there']);
  });

  it('loading from the output keeps weights and data order, and with the optimizer everything', () => {
    const weights = restartTruth({ checkpoints, lastIteration: 850, launcher: { loadsFromOutput: true } });
    expect(weights).toMatchObject({ outcome: 'weights-only', lostIterations: 50 });
    expect(weights.parts.filter(({ isKept }) => isKept).map(({ part }) => part)).toEqual(['weights', 'data']);
    const flags = { loadsFromOutput: true, savesOptimizer: true, loadsOptimizer: true };
    const exact = restartTruth({ checkpoints, launcher: flags });
    expect(exact.parts.every(({ isKept }) => isKept)).toBe(true);
    expect(exact).not.toHaveProperty('lostIterations');
  });

  it('without a checkpoint nothing is kept, whatever the flags', () => {
    const flags = { loadsFromOutput: true, savesOptimizer: true, loadsOptimizer: true };
    const truth = restartTruth({ checkpoints: { incomplete: [], notes: [] }, lastIteration: 30, launcher: flags });
    expect(truth.parts.some(({ isKept }) => isKept)).toBe(false);
    expect(truth.lostIterations).toBe(30);
    expect(restartTruth({}).notes).toEqual(['the output folder was not looked at']);
  });
});

import { describe, expect, it } from 'vitest';
import { run72B } from '../../test/sample-specs.ts';
import { megatronArguments, megatronCommand } from '../megatron-command.ts';
import { detectorConfigOf } from '../monitor/watch-job.ts';
import { planRun } from '../plan/plan.ts';
import { parseRunSpec } from '../run-spec.ts';
import { planResume } from './resume-run.ts';

/** 1000 iterations of 32,768 tokens, 100 of them warm-up. */
const TOKENS = 32_768;
const spec = run72B({ train_tokens: 1000 * TOKENS, warmup_tokens: 100 * TOKENS });
const checkpoint = { iteration: 400, directory: '/mnt/output/checkpoint/run' };

describe('planResume', () => {
  it('goes on after the checkpoint: iterations, samples and tokens in all stay, the rate is fitted', () => {
    const plan = planResume(spec, checkpoint, {}, { jobId: 'dlc1' });
    expect(plan).toMatchObject({ order: 'continue', remainingIterations: 600, remainingTokens: 600 * TOKENS });
    const { hyperParameters, tags, resume } = plan.spec;
    expect(hyperParameters).toMatchObject({
      train_tokens: 1000 * TOKENS,
      warmup_tokens: 20 * TOKENS,
      global_batch_size: 32,
    });
    expect(hyperParameters.learning_rate).toBeLessThan(5e-5);
    expect(tags).toEqual({ 'cpt-resumed-at': '400', 'cpt-resumed-from': 'dlc1' });
    expect(resume).toEqual({ checkpoint: '/mnt/output/checkpoint/run', iteration: 400 });
    expect(parseRunSpec(plan.spec)).toEqual(plan.spec);
    expect(plan.parts.map(({ part, isKept }) => `${part} ${isKept}`)).toEqual([
      ...['weights true', 'optimizer false', 'schedule false', 'data true', 'random-state false'],
    ]);
  });

  it('anew, it has exactly the remaining tokens, and says that samples come again', () => {
    const { spec: anew, parts } = planResume(spec, checkpoint, { order: 'anew', rewarmIterations: 0 });
    expect(anew.hyperParameters).toMatchObject({
      train_tokens: 600 * TOKENS,
      warmup_tokens: 0,
      min_learning_rate: 5e-6,
    });
    // 5e-6 + 4.5e-5/2 · (1 + cos(π · 300/900)) = 3.875e-5
    expect(anew.hyperParameters.learning_rate).toBe(3.875e-5);
    expect(parts.find(({ part }) => part === 'data')).toMatchObject({
      isKept: false,
      why: expect.stringContaining('12800'),
    });
  });

  it('loads a view of the one checkpoint, whatever the run’s own tracker names', () => {
    const { spec: resumed } = planResume(spec, checkpoint);
    const view = '/mnt/output/resume/run/iter_0000400';
    expect(megatronArguments(resumed)[22]).toBe(view);
    const link = `${view}/iter_0000400`;
    expect(megatronCommand(resumed)).toContain(
      `mkdir -p ${view} && { [ -e ${link} ] || ln -s /mnt/output/checkpoint/run/iter_0000400 ${link} || [ -e ${link} ]; } && `,
    );
    const { spec: anew } = planResume(spec, checkpoint, { order: 'anew' });
    expect(megatronArguments(anew)[22]).toBe(`${view}-release`);
    expect(megatronCommand(anew)).toContain('printf %s release > ');
  });

  it('lets the rules know where the scheduler begins', () => {
    const { spec: resumed, schedule } = planResume(spec, checkpoint);
    const { learningRate, baseCheckpoint } = detectorConfigOf(resumed);
    expect(learningRate).toEqual({
      ...{ peak: schedule.peak, min: schedule.min, warmupIterations: 20, decayIterations: 1000, startIteration: 400 },
    });
    expect(baseCheckpoint).toBe('/mnt/output/resume/run/iter_0000400');
    expect(detectorConfigOf(planResume(spec, checkpoint, { order: 'anew' }).spec).learningRate).not.toHaveProperty(
      'startIteration',
    );
  });

  it('its plan says how much of the whole run is left', () => {
    const findings = planRun(planResume(spec, checkpoint).spec).findings.filter(({ check }) => check === 'P11');
    expect(findings).toContainEqual(
      expect.objectContaining({ level: 'info', numbers: { iteration: 400, iterations: 1000, left: 600 } }),
    );
    const anew = planRun(planResume(spec, checkpoint, { order: 'anew' }).spec);
    expect(anew.iterations).toBe(600);
  });

  it('a run that was continued can be continued', () => {
    const first = planResume(spec, checkpoint);
    const second = planResume(first.spec, { iteration: 700, directory: '/mnt/output/checkpoint/run-2' });
    expect(second.remainingIterations).toBe(300);
    expect(second.spec.resume?.iteration).toBe(700);
    expect(second.spec.hyperParameters.learning_rate).toBeLessThan(first.spec.hyperParameters.learning_rate);
  });

  it('within the warm-up, the rest of the warm-up comes first', () => {
    const { spec: resumed } = planResume(spec, { ...checkpoint, iteration: 40 });
    expect(resumed.hyperParameters.warmup_tokens).toBe(60 * TOKENS);
  });

  it.each([1000, 1001, 999])('refuses what leaves nothing or too little: iteration %i of 1000', (iteration) => {
    const resume = () => planResume(spec, { ...checkpoint, iteration });
    expect(resume).toThrow(expect.objectContaining({ code: 'CPT_INPUT_JOB_RESUME' }));
  });
});

it('a specification on QuickStart cannot name a checkpoint to go on from', () => {
  const quickstart = { ...spec, route: 'quickstart', resume: { checkpoint: '/mnt/output/x', iteration: 4 } };
  expect(() => parseRunSpec(quickstart)).toThrow(/\/resume/);
});

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
  it('goes on after the checkpoint: iterations, samples, tokens and the rate’s schedule stay', () => {
    const plan = planResume(spec, checkpoint, {}, { jobId: 'dlc1' });
    expect(plan).toMatchObject({ order: 'continue', remainingIterations: 600, remainingTokens: 600 * TOKENS });
    const { hyperParameters, tags, resume } = plan.spec;
    expect(hyperParameters).toMatchObject({
      train_tokens: 1000 * TOKENS,
      warmup_tokens: 0, // of 100 iterations none are left
      learning_rate: 5e-5,
      min_learning_rate: 5e-6,
      global_batch_size: 32,
    });
    expect(tags).toEqual({ 'cpt-resumed-at': '400', 'cpt-resumed-from': 'dlc1' });
    const schedule = { start: 400, iterations: 1000, warmupIterations: 100 };
    expect(resume).toEqual({ checkpoint: '/mnt/output/checkpoint/run', iteration: 400, schedule });
    // 5e-6 + 4.5e-5/2 · (1 + cos(π · 300/900)) = 3.875e-5
    expect(plan.parts.find(({ part }) => part === 'schedule')?.why).toBe(
      'the learning rate goes on at 0.00003875, iteration 400 of 1000 of its schedule',
    );
    expect(parseRunSpec(plan.spec)).toEqual(plan.spec);
    expect(plan.parts.map(({ part, isKept }) => `${part} ${isKept}`)).toEqual([
      ...['weights true', 'optimizer false', 'schedule true', 'data true', 'random-state false'],
    ]);
  });

  it('anew, it has exactly the remaining tokens, and says that samples come again', () => {
    const { spec: anew, parts } = planResume(spec, checkpoint, { order: 'anew' });
    expect(anew.hyperParameters).toMatchObject({
      train_tokens: 600 * TOKENS,
      warmup_tokens: 0,
      min_learning_rate: 5e-6,
    });
    expect(anew.resume).toMatchObject({ order: 'anew', schedule: { start: 400, iterations: 1000 } });
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

  it('lets the rules know the schedule in the iterations that the run prints', () => {
    const whole = { peak: 5e-5, min: 5e-6, warmupIterations: 100, decayIterations: 1000 };
    const { learningRate, baseCheckpoint } = detectorConfigOf(planResume(spec, checkpoint).spec);
    expect(learningRate).toEqual(whole);
    expect(baseCheckpoint).toBe('/mnt/output/resume/run/iter_0000400');
    const anew = detectorConfigOf(planResume(spec, checkpoint, { order: 'anew' }).spec);
    expect(anew.learningRate).toEqual({ ...whole, startIteration: -400 }); // its iteration 1 is the schedule's 401
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
    expect(second.schedule).toEqual({ start: 700, iterations: 1000, warmupIterations: 100 });
    // A run of its own counts from 0: its iteration 300 is the schedule's 700.
    const anew = planResume(planResume(spec, checkpoint, { order: 'anew' }).spec, { ...checkpoint, iteration: 300 });
    expect(anew.schedule).toEqual(second.schedule);
  });

  it('within the warm-up, the rest of the warm-up comes first', () => {
    const { spec: resumed } = planResume(spec, { ...checkpoint, iteration: 40 });
    expect(resumed.hyperParameters.warmup_tokens).toBe(60 * TOKENS);
  });

  it.each([1000, 1001])('refuses what leaves nothing: iteration %i of 1000', (iteration) => {
    const resume = () => planResume(spec, { ...checkpoint, iteration });
    expect(resume).toThrow(expect.objectContaining({ code: 'CPT_INPUT_JOB_RESUME' }));
  });
});

it('a specification on QuickStart cannot name a checkpoint to go on from', () => {
  const quickstart = { ...spec, route: 'quickstart', resume: { checkpoint: '/mnt/output/x', iteration: 4 } };
  expect(() => parseRunSpec(quickstart)).toThrow(/\/resume/);
});

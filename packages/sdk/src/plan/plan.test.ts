import { describe, expect, it } from 'vitest';
import { run72B, sample72B } from '../../test/sample-specs.ts';
import type { CptRunSpecInput } from '../run-spec.ts';
import type { Finding } from '../schemas.ts';
import { planRun } from './plan.ts';
import type { PlanFacts } from './plan-facts.ts';

const dataset = (tokens: number, more: object = {}): PlanFacts => ({
  dataset: { tokens, sequences: 10_000, documents: 5000, source: '/nas/dataset.idx', ...more },
});
const findingsOf = (findings: readonly Finding[], check: string) =>
  findings.filter((finding) => finding.check === check);

describe('the guide’s run of Qwen2-72B', () => {
  const plan = planRun(sample72B);

  it('is 50 iterations, 5 of them warm-up, 1.6 M tokens', () => {
    // Worked in plan-and-monitoring.md §3: 32 × 1024 = 32,768 tokens an iteration, both divisions exact.
    expect(plan).toMatchObject({
      ...{ iterations: 50, warmupIterations: 5, tokensPerIteration: 32_768, tokens: 1_638_400, isBlocked: false },
    });
    expect(plan).not.toHaveProperty('epochs');
  });

  it('saves nothing before its end, and is told so', () => {
    expect(plan.saves).toBe(1);
    const [saves] = findingsOf(plan.findings, 'P9');
    expect(saves).toMatchObject({ level: 'warn', numbers: { iterations: 50, saveInterval: 1000, periodicSaves: 0 } });
    expect(saves?.message).toContain('loses 100 %');
    expect(saves?.advice).toBe('set save_interval to 25 or less');
  });

  it('has a pipeline bubble of 8.6 % with 32 micro batches', () => {
    const [batch] = findingsOf(plan.findings, 'P3');
    expect(batch).toMatchObject({ level: 'info', numbers: { microBatches: 32, dataParallelSize: 1 } });
    expect(batch?.numbers.bubble).toBeCloseTo(3 / 35, 10);
    expect(batch?.message).toContain('8.6 %');
  });

  it('is a smoke test and not continued pre-training', () => {
    const messages = findingsOf(plan.findings, 'P1').map(({ level, message }) => `${level}: ${message}`);
    expect(messages[0]).toBe('info: ⌊1,638,400 tokens / (32 samples × 1,024 tokens)⌋ = 50 iterations');
    expect(messages[1]).toContain('warn: 50 iterations are a smoke test');
    expect(messages[2]).toContain('warn: 1,638,400 tokens are 0.2 % of the 1,000,000,000');
  });

  it('has a usual warm-up and learning rate', () => {
    expect(findingsOf(plan.findings, 'P2')).toMatchObject([{ level: 'info', numbers: { share: 0.1 } }]);
    expect(findingsOf(plan.findings, 'P15')).toMatchObject([{ level: 'info' }]);
  });

  it('divides 32 GPUs', () => {
    expect(findingsOf(plan.findings, 'P4')[0]).toMatchObject({
      numbers: { tensorParallelSize: 8, pipelineParallelSize: 4, contextParallelSize: 1, dataParallelSize: 1 },
    });
    expect(findingsOf(plan.findings, 'P4')[0]?.message).toBe('32 GPUs = TP 8 × PP 4 × CP 1 × 1 replicas (suggested)');
  });
});

it('gives the README’s sample of the toolkit 9 iterations, no warm-up and no periodic save', () => {
  // 10,000 tokens, warm-up 100, global batch 8, sequence 128, save every 100,000: plan-and-monitoring.md §3.
  const plan = planRun(
    run72B({
      train_tokens: 10_000,
      warmup_tokens: 100,
      global_batch_size: 8,
      sequence_length: 128,
      save_interval: 100_000,
    }),
  );
  expect(plan).toMatchObject({ iterations: 9, warmupIterations: 0, tokens: 9 * 1024, saves: 1 });
  expect(findingsOf(plan.findings, 'P1')[0]).toMatchObject({ numbers: { remainder: 10_000 - 9216 } });
  expect(findingsOf(plan.findings, 'P2')[0]).toMatchObject({ level: 'warn', advice: expect.stringContaining('1,024') });
});

it('counts saves: 1 B tokens at interval 1000 are 30,517 iterations and 30 periodic ones', () => {
  const plan = planRun(run72B({ train_tokens: 1_000_000_000, warmup_tokens: 100_000_000 }));
  expect(plan.iterations).toBe(30_517);
  expect(plan.saves).toBe(31);
  expect(findingsOf(plan.findings, 'P9')[0]).toMatchObject({ level: 'info', numbers: { periodicSaves: 30 } });
  expect(planRun(run72B({ save_interval: 25 })).saves).toBe(2); // the second is the one at the end
  expect(planRun(run72B({ save_interval: 50 })).saves).toBe(1);
});

describe('what blocks a run', () => {
  it.each<[check: string, hyper: CptRunSpecInput['hyperParameters'], parts: Partial<CptRunSpecInput>, message: RegExp]>(
    [
      ['P1', { train_tokens: 32_767 }, {}, /= 0 iterations: nothing would be trained/],
      ['P2', { warmup_tokens: 1_638_400 }, {}, /lr_warmup_steps < lr_decay_steps/],
      ['P3', { batch_size: 3 }, {}, /32 is not a multiple of batch_size 3 × 1 replicas = 3/],
      [
        'P4',
        {},
        { parallel: { tensorParallelSize: 3, pipelineParallelSize: 1 } },
        /32 GPUs are not a multiple of TP 3/,
      ],
      [
        'P4',
        {},
        { parallel: { tensorParallelSize: 16, pipelineParallelSize: 2 } },
        /8 query groups do not divide over TP 16/,
      ],
      [
        'P4',
        {},
        { parallel: { tensorParallelSize: 16, pipelineParallelSize: 2 } },
        /TP 16 does not divide the 8 GPUs of a node/,
      ],
      [
        'P4',
        {},
        { parallel: { tensorParallelSize: 1, pipelineParallelSize: 32 } },
        /80 layers do not divide over PP 32/,
      ],
      ['P4', { sequence_length: 1022 }, {}, /sequence_length 1,022 does not divide over TP 8/],
      [
        'P4',
        { sequence_length: 1026 },
        { parallel: { tensorParallelSize: 2, pipelineParallelSize: 4, contextParallelSize: 4 } },
        /not a multiple of 2 × CP = 8/,
      ],
      ['P15', { min_learning_rate: 6e-5 }, {}, /min_learning_rate 0.00006 is above learning_rate 0.00005/],
    ],
  )('%s: %j %j', (check, hyper, parts, message) => {
    const plan = planRun(run72B(hyper, parts));
    expect(plan.isBlocked).toBe(true);
    const blocking = findingsOf(plan.findings, check).filter(({ level }) => level === 'block');
    expect(blocking.map((finding) => finding.message).join('\n')).toMatch(message);
    for (const finding of blocking) expect(finding.advice).toBeTruthy();
  });

  it('says once that a replica is larger than the job', () => {
    const { findings } = planRun(run72B({}, { parallel: { tensorParallelSize: 8, pipelineParallelSize: 8 } }));
    expect(findings.filter(({ level }) => level === 'block').map(({ check }) => check)).toEqual(['P4']);
    expect(findingsOf(findings, 'P3')).toEqual([]);
  });

  it('does not block 1,638,399 of warm-up tokens fewer, nor one iteration', () => {
    expect(planRun(run72B({ warmup_tokens: 1_638_399 })).isBlocked).toBe(false); // 49 of 50
    expect(planRun(run72B({ train_tokens: 32_768, warmup_tokens: 0 }))).toMatchObject({
      iterations: 1,
      isBlocked: false,
    });
  });
});

describe('what is worth a warning', () => {
  it.each<[check: string, hyper: CptRunSpecInput['hyperParameters'], parts: Partial<CptRunSpecInput>, message: RegExp]>(
    [
      ['P2', { warmup_tokens: 327_680 }, {}, /20.0 % of the run/],
      [
        'P3',
        {},
        { parallel: { tensorParallelSize: 2, pipelineParallelSize: 8 } },
        /16 micro batches; pipeline bubble .* = 30.4 %/,
      ],
      ['P3', { global_batch_size: 2, train_tokens: 1e6 }, {}, /fewer micro batches than the 4 stages/],
      [
        'P6',
        {},
        { data: { train: '/data/dataset' } },
        /train \/data\/dataset lies under none of the mount paths \/mnt\/data, \/mnt\/output/,
      ],
      ['P15', { learning_rate: 3e-3 }, {}, /0.003 is outside 0.000001 to 0.00005/],
      ['P15', { learning_rate: 5e-6, min_learning_rate: 5e-6 }, {}, /the rate never falls/],
    ],
  )('%s: %j %j', (check, hyper, parts, message) => {
    const plan = planRun(run72B(hyper, parts));
    expect(plan.isBlocked).toBe(false);
    const warnings = findingsOf(plan.findings, check).filter(({ level }) => level === 'warn');
    expect(warnings.map((finding) => finding.message).join('\n')).toMatch(message);
  });

  it('a run from random weights', () => {
    const { baseCheckpoint, ...rest } = sample72B;
    expect(findingsOf(planRun(rest).findings, 'P8')).toMatchObject([{ level: 'warn' }]);
    expect(findingsOf(planRun(sample72B).findings, 'P8')).toEqual([]);
  });
});

describe('with the dataset known', () => {
  it('counts epochs over the 99 % that is trained on', () => {
    const plan = planRun(sample72B, dataset(1_000_000));
    expect(plan.epochs).toBeCloseTo(1_638_400 / 990_000, 10);
    expect(findingsOf(plan.findings, 'P6')).toMatchObject([
      { level: 'warn', numbers: { have: 1_000_000, need: 1_638_400 } },
    ]);
    expect(findingsOf(planRun(sample72B, dataset(2_000_000)).findings, 'P6')).toMatchObject([{ level: 'info' }]);
  });

  it('blocks an empty one', () => {
    const plan = planRun(sample72B, dataset(0));
    expect(plan.isBlocked).toBe(true);
    expect(plan).not.toHaveProperty('epochs');
  });

  it('compares the largest id with the rows of the embedding table', () => {
    const inside = planRun(sample72B, dataset(2e6, { maxId: 152_063 }));
    expect(findingsOf(inside.findings, 'P7')).toMatchObject([{ level: 'info' }]);
    const outside = planRun(sample72B, dataset(2e6, { maxId: 152_064 }));
    expect(outside.isBlocked).toBe(true);
    expect(findingsOf(outside.findings, 'P7')[0]?.message).toContain('152,064 ≥ 152,064');
  });

  it('notices the guide’s sample, whose ids are Llama-3’s and all in range', () => {
    const plan = planRun(sample72B, dataset(2e9, { maxId: 128_255, vocabSize: 128_256 }));
    expect(plan.isBlocked).toBe(true);
    expect(findingsOf(plan.findings, 'P7').map(({ level }) => level)).toEqual(['info', 'block']);
    expect(findingsOf(plan.findings, 'P7')[1]?.message).toContain('as many as Llama-3’s');
    const own = planRun(sample72B, dataset(2e9, { maxId: 151_642, vocabSize: 151_646 }));
    expect(own.isBlocked).toBe(false);
  });

  it('takes the tiny model’s vocabulary from the tokenizer', () => {
    const tiny: CptRunSpecInput = {
      ...sample72B,
      model: 'qwen2-tiny',
      parallel: { tensorParallelSize: 2, pipelineParallelSize: 2 },
    };
    expect(planRun(tiny, dataset(2e6, { maxId: 511, vocabSize: 512 })).isBlocked).toBe(false);
    expect(planRun(tiny, dataset(2e6, { maxId: 512, vocabSize: 512 })).isBlocked).toBe(true);
  });
});

it('refuses what is no run', () => {
  expect(() => planRun({} as CptRunSpecInput)).toThrow(/is missing/);
});

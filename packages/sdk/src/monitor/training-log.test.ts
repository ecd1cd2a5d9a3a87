import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IterationLine, parseTrainingLine } from './training-log.ts';

/** A line that the parser must take for an iteration. */
function iterationOf(line: string): IterationLine {
  const parsed = parseTrainingLine(line);
  if (parsed?.type !== 'iteration') throw new Error(`not an iteration: ${line}`);
  return parsed;
}

// Logs of public runs of 2021 and 2022, kept beside the project and not in it. The sums were made in Python, by a separate
// expression for each field.
const REAL_LOGS = join(import.meta.dirname, '../../../../../shared/data/real-logs');
const EXPECTED: [
  file: string,
  iterations: number,
  first: number,
  last: number,
  losses: number,
  sum: number,
  norms: number,
][] = [
  ['bloom176b-2022-spike-31214.log', 11, 31_214, 31_251, 11, 30.6608, 11],
  ['bloom176b-prequel.log', 6, 2, 2, 6, 382.5259, 6],
  ['megatron-2021-fp16-skipped-iters.log', 20, 10, 200, 19, 174.0931, 18],
  ['megds-2021-gpt2-52B-diverge.log', 62, 1, 62, 62, 1414.2676, 62],
  ['megds-2021-gpt2-ds-on-lm-dash-loss.log', 49, 1, 49, 49, 657.9123, 49],
  ['megds-2021-zero-no-consumed-samples.log', 4, 1, 4, 4, 104.7878, 0],
  ['quoted-lines-other-versions.log', 7, 15, 327_281, 5, 16.9748, 6],
  ['tr8b-104B-chronicle.log', 19, 6502, 17_068, 18, 65.0912, 18],
];

describe.skipIf(!existsSync(REAL_LOGS))('logs of real runs', () => {
  it.each(EXPECTED)('%s', (file, iterations, first, last, losses, sum, norms) => {
    const lines = readFileSync(join(REAL_LOGS, file), 'utf8').split('\n');
    const parsed = lines.map(parseTrainingLine).filter((line) => line?.type === 'iteration');
    const found = parsed.map((line) => line.lmLoss).filter((loss) => loss !== undefined);
    expect(parsed).toHaveLength(iterations);
    expect([parsed[0]?.iteration, parsed.at(-1)?.iteration]).toEqual([first, last]);
    expect(found).toHaveLength(losses);
    expect(found.reduce((total, loss) => total + loss, 0)).toBeCloseTo(sum, 3);
    expect(parsed.filter((line) => line.gradNorm !== undefined)).toHaveLength(norms);
    for (const line of parsed) expect(line.elapsedMs).toBeGreaterThan(0);
  });
});

describe('iteration lines', () => {
  it('of the backend that Pai-Megatron-Patch pins, in full', () => {
    const line =
      ' [2026-09-14 15:08:27] iteration       44/  102400 | consumed samples:          352 | elapsed time per iteration (ms): 6922.3 | throughput per GPU (TFLOP/s/GPU): 62.0 | learning rate: 1.289062E-04 | global batch size:     8 | lm loss: 6.457796E+00 | load_balancing_loss: 1.069903E+00 | loss scale: 1.0 | grad norm: 4.096 | num zeros: 12.0 | params norm: 238.330 | number of skipped iterations:   0 | number of nan iterations:   0 |';
    expect(parseTrainingLine(line)).toEqual({
      type: 'iteration',
      ...{ iteration: 44, trainIterations: 102_400, consumedSamples: 352, elapsedMs: 6922.3, throughputTflops: 62 },
      ...{ learningRate: 1.289062e-4, globalBatchSize: 8, lmLoss: 6.457796, lossScale: 1, gradNorm: 4.096 },
      ...{ paramsNorm: 238.33, skippedIterations: 0, nanIterations: 0, timestamp: '2026-09-14 15:08:27' },
      others: { 'load balancing loss': 1.069903, 'num zeros': 12 },
    });
  });

  it.each([
    ['[default7]: [2025-05-27 15:23:07] iteration        1/    24000 | lm loss: 1.192634E+01 |', '2025-05-27 15:23:07'],
    [
      '[lrdn3321:3]: [2025-03-31 05:54:07.273656] iteration 50/ 242204 | lm loss: 6.258318E+00 |',
      '2025-03-31 05:54:07.273656',
    ],
    [
      '[20251202 06:56:28][rank-7/8][INFO ] [--trainer.py:2560] : iteration 4408/ 5000 | lm loss: 4.1E-03 |',
      '20251202 06:56:28',
    ],
    ['\u001b[32mdlc1-worker-0 | \u001b[0m iteration 3/ 5 | lm loss: 1.0 |', undefined],
    ['iteration 11/50000 | lm loss: 1.0 |\r', undefined],
  ])('after a prefix: %j', (line, timestamp) => {
    const parsed = iterationOf(line);
    expect(parsed.timestamp).toBe(timestamp);
    expect(parsed.lmLoss).toBeGreaterThan(0);
  });

  // Quoted from Megatron-DeepSpeed#434 and #396: NaN shows as a missing loss, and the counter of NaNs stays 0.
  it('without a loss have none, whatever the counter says', () => {
    const line =
      ' iteration        9/      10 | consumed samples:          108 | learning rate: 4.219E-07 | global batch size:    12 | loss scale: 1.0 | number of skipped iterations:   0 | number of nan iterations:   0 |';
    expect(iterationOf(line)).not.toHaveProperty('lmLoss');
    expect(iterationOf(line).nanIterations).toBe(0);
    expect(iterationOf(' iteration 5426/  250000 | loss scale: 1.0 | grad norm: nan |').gradNorm).toBeNaN();
  });

  it.each([
    ['nan', Number.NaN],
    ['NaN', Number.NaN],
    ['-nan', Number.NaN],
    ['inf', Number.POSITIVE_INFINITY],
    ['-INF', Number.NEGATIVE_INFINITY],
    ['0.000', 0],
    ['-1.0', -1],
    ['13100.0/13240.9', 13_100],
    ['3.5K', 3500],
    ['85.8G', 85.8e9],
  ])('reads a value of %s', (text, value) => {
    expect(iterationOf(` iteration 1/ 2 | grad norm: ${text} |`).gradNorm).toBe(value);
  });

  it('under other names and units', () => {
    // BLOOM counts seconds; DeepSpeed writes lm-loss; nanotron has another grammar (nanotron#390).
    expect(iterationOf(' iteration 2/ 9 | elapsed time per iteration (s): 769.99 | lm-loss: 12.5 |')).toMatchObject({
      ...{ elapsedMs: 769_990, lmLoss: 12.5 },
    });
    const nanotron =
      '10/17/2025 16:31:56 [INFO|DP=0|PP=0|TP=0]: iteration: 327281 / 378950 | consumed_tokens: 85.8G | elapsed_time_per_iteration_ms: 11.5K | global_batch_size: 64 | lm_loss: 2.38 | lr: 1e-05 | model_tflops_per_gpu: 38.3 | grad_norm: 1.25';
    expect(iterationOf(nanotron)).toMatchObject({
      ...{
        iteration: 327_281,
        trainIterations: 378_950,
        consumedTokens: 85.8e9,
        elapsedMs: 11_500,
        globalBatchSize: 64,
      },
      ...{ lmLoss: 2.38, learningRate: 1e-5, throughputTflops: 38.3, gradNorm: 1.25 },
    });
  });

  it('that are cut keep what came before the cut', () => {
    const whole = ' iteration 7/ 9 | consumed samples: 56 | lm loss: 2.500000E+00 | grad norm: 1.250 |';
    for (let length = whole.indexOf('|') + 1; length <= whole.length; length++) {
      const { iteration, lmLoss } = iterationOf(whole.slice(0, length));
      expect(iteration).toBe(7);
      if (lmLoss !== undefined && length > whole.indexOf('grad')) expect(lmLoss).toBe(2.5);
    }
  });
});

describe('other lines', () => {
  it('a validation, also the one of the test set', () => {
    const line = (where: string) =>
      ` validation loss at iteration 100${where} | lm loss value: 2.106543E+00 | lm loss PPL: 8.219776E+00 | `;
    const expected = { type: 'validation', iteration: 100, lmLoss: 2.106543, perplexity: 8.219776 };
    expect(parseTrainingLine(line(''))).toEqual(expected);
    expect(parseTrainingLine(line(' on validation set'))).toEqual(expected);
    expect(parseTrainingLine(line(' on test set'))).toEqual({ ...expected, set: 'test' });
    expect(parseTrainingLine(' validation loss at iteration 3 | lm loss value: 2.0E+00')).toMatchObject({
      perplexity: expect.closeTo(7.389056, 6),
    });
  });

  it.each([
    [
      '  successfully saved checkpoint from iteration     100 to /mnt/output/checkpoint/run [ t 1/8, p 1/4 ]',
      '/mnt/output/checkpoint/run',
    ],
    [
      '[default0]:  [2026-08-22 01:02:03.000001] successfully saved checkpoint from iteration     100 to /out [ t 1/8, gtp_remat 1/1, p 1/4 ]',
      '/out',
    ],
    ['  successfully saved checkpoint at iteration     100 to /gpfs/a b/c', '/gpfs/a b/c'],
  ])('a saved checkpoint: %s', (line, directory) => {
    expect(parseTrainingLine(line)).toEqual({ type: 'checkpoint-saved', iteration: 100, directory });
  });

  it('a start from random weights', () => {
    expect(parseTrainingLine('    will not load any checkpoints and will start from random')).toEqual({
      type: 'start-from-random',
    });
  });

  it.each([
    'saving checkpoint at iteration     100 to /out in torch_dist format',
    'time (ms) | forward-compute: 53.79',
    ' loading checkpoint from /base at iteration 5',
    '[exiting program at iteration 50] datetime: 2026-11-24 00:00:00',
    'this iteration was random',
    '',
  ])('nothing for %j', (line) => {
    expect(parseTrainingLine(line)).toBeUndefined();
  });
});

describe('hostile lines', () => {
  it('never throw', () => {
    const part = fc.constantFrom(
      'iteration',
      ' 1/ 2 |',
      ' lm loss: ',
      'nan',
      '|',
      ':',
      '\u001b[31m',
      '1e9999',
      '-',
      '/',
      'random',
      '🙂',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(part, fc.string({ maxLength: 12 })), { maxLength: 40 }), (parts) => {
        parseTrainingLine(parts.join(''));
      }),
    );
  });

  it('may name a field like a method of objects', () => {
    const line = ' iteration 1/ 2 | constructor: 1 | __proto__: 2 | lm loss: 1.5 |';
    expect(iterationOf(line)).toMatchObject({ lmLoss: 1.5, others: { constructor: 1 } });
  });

  it('are not searched when they are longer than any training line', () => {
    const line = ' iteration 1/ 2 | lm loss: 1.0 |';
    expect(parseTrainingLine(line.padEnd(16_384))).toBeDefined();
    expect(parseTrainingLine(line.padEnd(16_385))).toBeUndefined();
  });

  it.each([
    ['spaces', `iteration${' '.repeat(16_000)}1/2`],
    ['digits', ` iteration 1/2 | lm loss: ${'9'.repeat(16_000)}x`],
    ['escapes', `iteration ${'\u001b['.repeat(8000)}`],
    ['parts', ` iteration 1/2 ${'|a:1'.repeat(4000)}`],
    ['parts without a value', ` iteration 1/2 ${'|a'.repeat(8000)}`],
    ['ten million characters', ` iteration 1/2 | ${'x'.repeat(10_000_000)}`],
  ])('of %s cost no more than their length', (_, line) => {
    const startedAt = performance.now();
    parseTrainingLine(line);
    expect(performance.now() - startedAt).toBeLessThan(200);
  });
});

describe('what is remembered of the line before', () => {
  const LINES = [
    ' [2026-09-14 15:08:27] iteration       44/  102400 | consumed samples:          352 | learning rate: 1.289062E-04 | lm loss: 6.457796E+00 | grad norm: 4.096 |',
    ' iteration       45/  102400 | consumed samples:          360 | learning rate: 1.289062E-04 | grad norm: nan |',
    'iteration: 327281 / 378950 | consumed_tokens: 85.8G | lm_loss: 2.38 | grad_norm: 1.25',
    ' iteration       46/  102400 | consumed samples: 12:30 | learning rate: 1.289062E-04x | lm loss: 6.4/6.5 | grad norm: 4. |',
    ' iteration       47/  102400 | consumed samples2: 5 | learning rate 2: 6 | lm loss : 7 | grad norm:8|',
  ];

  it('changes nothing of what the next one says', () => {
    const alone = LINES.map((line) => parseTrainingLine(line));
    for (const before of LINES) {
      for (const [index, line] of LINES.entries()) {
        parseTrainingLine(before);
        expect(parseTrainingLine(line)).toEqual(alone[index]);
      }
    }
  });

  it('reads every printed number as Number does, to the last bit', () => {
    const printed = fc
      .tuple(fc.double({ min: 0, max: 1e12, noNaN: true }), fc.integer({ min: 0, max: 12 }))
      .chain(([value, digits]) => {
        const [mantissa = '', exponent = ''] = value.toExponential(digits).split('e');
        const python = `${mantissa}E${exponent[0]}${exponent.slice(1).padStart(2, '0')}`;
        return fc.constantFrom(
          value.toFixed(digits),
          String(value),
          python,
          ` ${python} `,
          value.toExponential(digits),
        );
      });
    fc.assert(
      fc.property(printed, (text) => {
        const line = parseTrainingLine(` iteration 1/ 2 | lm loss: ${text}|`);
        expect(line).toMatchObject({ lmLoss: Number(text) });
      }),
      { numRuns: 2000 },
    );
  });
});

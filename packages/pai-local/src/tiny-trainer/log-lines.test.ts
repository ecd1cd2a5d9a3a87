import { describe, expect, it } from 'vitest';
import { datetimeLine, iterationLine, noCheckpointLines, savedLine, savingLine, validationLines } from './log-lines.ts';

// The expected texts are printed lines quoted in Megatron issues and test suites, or were made by Python's own
// str.format with the templates of megatron/training/training.py and checkpointing.py.
const at = new Date(2026, 8, 14, 15, 8, 27);
const report = {
  at,
  iteration: 44,
  trainIterations: 102_400,
  consumedSamples: 352,
  elapsedMs: 6922.3,
  learningRate: 1.289062e-4,
  globalBatchSize: 8,
  lmLoss: 6.457796,
  gradNorm: 4.096,
};

describe('iterationLine', () => {
  it("is Megatron's line, widths and exponents included", () => {
    expect(iterationLine(report)).toBe(
      ' [2026-09-14 15:08:27] iteration       44/  102400 | consumed samples:          352 | elapsed time per iteration (ms): 6922.3 | learning rate: 1.289062E-04 | global batch size:     8 | lm loss: 6.457796E+00 | loss scale: 1.0 | grad norm: 4.096 | number of skipped iterations:   0 | number of nan iterations:   0 |',
    );
  });

  it.each([
    [0, '0.000000E+00'],
    [638.1234567, '6.381235E+02'],
    [1e-100, '1.000000E-100'],
    [1.2345675e12, '1.234568E+12'],
  ])('prints %s as Python does', (learningRate, expected) => {
    expect(iterationLine({ ...report, learningRate })).toContain(`| learning rate: ${expected} |`);
  });

  it('leaves the loss out and counts a NaN iteration when the loss is NaN', () => {
    const line = iterationLine({ ...report, lmLoss: Number.NaN, gradNorm: Number.NaN });
    expect(line).not.toContain('lm loss');
    expect(line).toContain('| grad norm: nan |');
    expect(line).toContain('number of nan iterations:   1 |');
  });

  it('splits into segments of name and number, as a log reader takes it apart', () => {
    const [head, ...segments] = iterationLine(report)
      .split('|')
      .map((segment) => segment.trim())
      .filter(Boolean);
    expect(head).toMatch(/iteration\s+44\/\s+102400$/);
    expect(Object.fromEntries(segments.map((segment) => segment.split(/:\s*(?=[^:]*$)/)))).toEqual({
      'consumed samples': '352',
      'elapsed time per iteration (ms)': '6922.3',
      'learning rate': '1.289062E-04',
      'global batch size': '8',
      'lm loss': '6.457796E+00',
      'loss scale': '1.0',
      'grad norm': '4.096',
      'number of skipped iterations': '0',
      'number of nan iterations': '0',
    });
  });
});

describe('validationLines', () => {
  it('are a rule one longer than the line, the values, and the rule again', () => {
    const [rule, line, last] = validationLines('iteration 400 on validation set', 2.1);
    expect(line).toBe(
      ' validation loss at iteration 400 on validation set | lm loss value: 2.100000E+00 | lm loss PPL: 8.166170E+00 | ',
    );
    expect(rule).toBe('-'.repeat(113));
    expect(last).toBe(rule);
  });

  it('cuts the perplexity at e^20', () => {
    expect(validationLines('iteration 1', 30)[1]).toContain('lm loss PPL: 4.851652E+08 |');
  });
});

describe('checkpoint and date lines', () => {
  it('name the iteration in seven columns, the folder and the format', () => {
    expect(savingLine(100, '/nas/checkpoint/run')).toBe(
      'saving checkpoint at iteration     100 to /nas/checkpoint/run in torch format',
    );
    expect(savedLine(100, '/nas/c', { tensorParallelSize: 8, pipelineParallelSize: 4 })).toBe(
      '  successfully saved checkpoint from iteration     100 to /nas/c [ t 1/8, p 1/4 ]',
    );
    expect(savedLine(100, '/nas/c', { tensorParallelSize: 8, pipelineParallelSize: 4 })).toMatch(
      /successfully saved checkpoint from iteration\s+(\d+)/,
    );
  });

  it('warn as Megatron does when there is nothing to load', () => {
    expect(noCheckpointLines('/workspace/checkpoint/latest_checkpointed_iteration.txt')).toEqual([
      'WARNING: could not find the metadata file /workspace/checkpoint/latest_checkpointed_iteration.txt ',
      '    will not load any checkpoints and will start from random',
    ]);
  });

  it('date a moment in brackets', () => {
    expect(datetimeLine('exiting program after receiving SIGTERM.', new Date(2026, 8, 6, 17, 57, 10))).toBe(
      '[exiting program after receiving SIGTERM.] datetime: 2026-09-06 17:57:10 ',
    );
  });
});

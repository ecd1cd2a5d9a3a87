import { expect, it } from 'vitest';
import { megatronLine, parseGoldenLosses } from '../bench/golden-values.mjs';
import { parseTrainingLine } from '../src/monitor/training-log.ts';

/** As NVIDIA/Megatron-LM@d98e8a64 keeps them, shortened: bert_mcore_tp1_pp2 (A100) and gpt3_mcore_tp1_pp2_fp16. */
const BY_STEP =
  '{"lm loss": {"start_step": 1, "end_step": 50, "step_interval": 5, "values": {"1": 10.49226, "5": "nan", "10": 10.49375}}}';
const AS_LIST = '{"lm loss": {"start_step": 0, "end_step": 50, "step_interval": 5, "values": [10.83369, 10.86796]}}';

it('reads losses by step, and drops steps of which nothing was recorded', () => {
  expect(parseGoldenLosses(BY_STEP)).toEqual({
    losses: [
      { iteration: 1, lmLoss: 10.49226 },
      { iteration: 10, lmLoss: 10.49375 },
    ],
    ...{ lastIteration: 50, steps: 3 },
  });
});

it.each([
  ['a list', AS_LIST],
  ['a list in a list', AS_LIST.replace('[', '[[').replace(']', ']]')],
])('reads %s, counted from the first step', (_, text) => {
  expect(parseGoldenLosses(text)?.losses).toEqual([
    { iteration: 0, lmLoss: 10.83369 },
    { iteration: 5, lmLoss: 10.86796 },
  ]);
});

it('finds no curve in an empty file and in one of other quantities', () => {
  expect(parseGoldenLosses('')).toBeUndefined();
  expect(parseGoldenLosses(BY_STEP.replace('lm loss', 'total loss'))).toBeUndefined();
});

it('writes the line as Python’s {:.6E} does, without a loss below 0', () => {
  expect(megatronLine(5, 50, 10.49226)).toContain(
    ' iteration        5/      50 | global batch size:    32 | lm loss: 1.049226E+01 |',
  );
  expect(parseTrainingLine(megatronLine(5, 50, 10.49226))).toMatchObject({
    ...{ type: 'iteration', iteration: 5, trainIterations: 50, lmLoss: 10.49226 },
  });
  const negative = parseTrainingLine(megatronLine(2, 50, -0.01494));
  expect(negative).toMatchObject({ iteration: 2, lossScale: 1 });
  expect(negative).not.toHaveProperty('lmLoss');
});

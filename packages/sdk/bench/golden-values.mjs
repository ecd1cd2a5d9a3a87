/**
 * Megatron-LM's golden values: what its functional tests measured, one JSON file a run, a series for each quantity:
 *
 *   { "lm loss": { "start_step": 1, "end_step": 50, "step_interval": 5, "values": { "1": 10.8, "5": 10.7, "10": "nan" } } }
 *
 * Older files have `values` as a list from `start_step` on, some as a list in a list. "nan" stands for a step of which nothing was recorded
 * (tests/functional_tests/python_test_utils/common.py), before a resumption and after the end; it is no NaN of the training.
 */

/** The losses of a file, in order, and the run's last step; `undefined` when it has none, or is empty. */
export function parseGoldenLosses(text) {
  if (text.trim() === '') return undefined;
  const series = JSON.parse(text)['lm loss'];
  if (series === undefined) return undefined;
  const { start_step: start, end_step: lastIteration, step_interval: interval, values } = series;
  const steps = Array.isArray(values)
    ? values.flat().map((value, index) => [start + index * interval, value])
    : Object.entries(values).map(([step, value]) => [Number(step), value]);
  const losses = steps.filter(([, value]) => value !== 'nan').map(([iteration, lmLoss]) => ({ iteration, lmLoss }));
  return { losses, lastIteration, steps: steps.length };
}

/** The line that Megatron logs for it; a mean below 0, as NaN, is left out (megatron/training/training.py). */
export function megatronLine(iteration, lastIteration, lmLoss) {
  const counter = `iteration ${String(iteration).padStart(8)}/${String(lastIteration).padStart(8)} |`;
  const printed = lmLoss
    .toExponential(6)
    .replace(/e([+-])(\d)$/, 'e$10$2')
    .toUpperCase();
  const loss = lmLoss >= 0 ? ` lm loss: ${printed} |` : '';
  return ` [2026-01-01 00:00:00.000000] ${counter} global batch size:    32 |${loss} loss scale: 1.0 | number of skipped iterations:   0 | number of nan iterations:   0 |`;
}

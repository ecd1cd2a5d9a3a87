/**
 * The lines of Megatron's log, to the letter: field widths, spaces and exponents as `training_log`,
 * `evaluate_and_print_results`, `save_checkpoint` and `print_datetime` print them (NVIDIA/Megatron-LM@8399280e,
 * megatron/training/training.py and checkpointing.py, the backend of Pai-Megatron-Patch's qwen2 example).
 */

/** What one iteration line says. */
export interface IterationReport {
  readonly at: Date;
  readonly iteration: number;
  readonly trainIterations: number;
  readonly consumedSamples: number;
  readonly elapsedMs: number;
  /** The rate after this iteration's scheduler step, hence the one the next iteration applies. */
  readonly learningRate: number;
  readonly globalBatchSize: number;
  readonly lmLoss: number;
  readonly gradNorm: number;
}

/** One iteration line. `lm loss` is absent when the loss is not above 0, which is how Megatron prints NaN. */
export function iterationLine(report: IterationReport): string {
  const isNan = !Number.isFinite(report.lmLoss);
  const segments = [
    ` [${timestamp(report.at)}] iteration ${wide(report.iteration, 8)}/${wide(report.trainIterations, 8)}`,
    `consumed samples: ${wide(report.consumedSamples, 12)}`,
    `elapsed time per iteration (ms): ${fixed(report.elapsedMs, 1)}`,
    `learning rate: ${exponential(report.learningRate)}`,
    `global batch size: ${wide(report.globalBatchSize, 5)}`,
    ...(report.lmLoss > 0 ? [`lm loss: ${exponential(report.lmLoss)}`] : []),
    `loss scale: ${fixed(1, 1)}`,
    `grad norm: ${fixed(report.gradNorm, 3)}`,
    `number of skipped iterations: ${wide(0, 3)}`,
    `number of nan iterations: ${wide(isNan ? 1 : 0, 3)}`,
  ];
  return `${segments.join(' | ')} |`;
}

/** The three lines of a validation: rule, values, rule. `where` follows "validation loss at". */
export function validationLines(where: string, lmLoss: number): string[] {
  const perplexity = Math.exp(Math.min(20, lmLoss));
  const line = ` validation loss at ${where} | lm loss value: ${exponential(lmLoss)} | lm loss PPL: ${exponential(perplexity)} | `;
  const rule = '-'.repeat(line.length + 1);
  return [rule, line, rule];
}

/** Printed before the first byte of a checkpoint is written. */
export function savingLine(iteration: number, directory: string): string {
  return `saving checkpoint at iteration ${wide(iteration, 7)} to ${directory} in torch format`;
}

/** Printed after the tracker file names the checkpoint. */
export function savedLine(
  iteration: number,
  directory: string,
  parallel: { readonly tensorParallelSize: number; readonly pipelineParallelSize: number },
): string {
  const { tensorParallelSize, pipelineParallelSize } = parallel;
  return `  successfully saved checkpoint from iteration ${wide(iteration, 7)} to ${directory} [ t 1/${tensorParallelSize}, p 1/${pipelineParallelSize} ]`;
}

/** Printed before the first byte of a checkpoint is read. */
export function loadingLine(iteration: number, directory: string): string {
  return ` loading checkpoint from ${directory} at iteration ${iteration}`;
}

/** Printed when the weights are there; the iteration is 0 for a `release`. */
export function loadedLine(
  iteration: number,
  directory: string,
  { tensorParallelSize, pipelineParallelSize }: { tensorParallelSize: number; pipelineParallelSize: number },
): string {
  return `  successfully loaded checkpoint from ${directory} [ t 1/${tensorParallelSize}, p 1/${pipelineParallelSize} ] at iteration ${iteration}`;
}

/** What Megatron says when `--load` names a folder without a checkpoint; for continued pre-training it is an alarm. */
export function noCheckpointLines(trackerFile: string): string[] {
  return [
    `WARNING: could not find the metadata file ${trackerFile} `,
    '    will not load any checkpoints and will start from random',
  ];
}

/** `[before the start of training step] datetime: …` and its like. */
export function datetimeLine(what: string, at: Date): string {
  return `[${what}] datetime: ${timestamp(at)} `;
}

/** Local time to the second, as the pinned backend prints it. */
function timestamp(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Python's `{:Nd}`. */
function wide(value: number, width: number): string {
  return String(value).padStart(width);
}

/** Python's `{:.Nf}`. */
function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : notFinite(value);
}

/** Python's `{:.6E}`: an upper-case E and at least two digits of exponent. */
function exponential(value: number): string {
  if (!Number.isFinite(value)) return notFinite(value).toUpperCase();
  const [mantissa, exponent = '+0'] = value.toExponential(6).split('e');
  return `${mantissa}E${exponent[0]}${exponent.slice(1).padStart(2, '0')}`;
}

function notFinite(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  return value > 0 ? 'inf' : '-inf';
}

/**
 * Megatron's log, line by line:
 *
 *   prefix     [time] iteration   44/  102400 | name: value | name: value | … |
 *   anything, written by torchrun, pods, loggers
 *
 * An iteration line is cut at `|` and each part at its last colon. One expression for the whole line would break with every
 * version and fork: fields come and go, and an absent `lm loss` is how most of them report NaN.
 */

/** What one iteration line says. A field that the line lacks is absent, never 0. */
export interface IterationLine {
  readonly type: 'iteration';
  readonly iteration: number;
  readonly trainIterations: number;
  readonly consumedSamples?: number;
  readonly consumedTokens?: number;
  readonly elapsedMs?: number;
  readonly throughputTflops?: number;
  readonly learningRate?: number;
  readonly globalBatchSize?: number;
  readonly lmLoss?: number;
  readonly lossScale?: number;
  readonly gradNorm?: number;
  readonly paramsNorm?: number;
  readonly skippedIterations?: number;
  readonly nanIterations?: number;
  /** As printed, without a time zone. */
  readonly timestamp?: string;
  /** Numbers under names that are not in the list above, such as a mixture's balancing loss. */
  readonly others?: Readonly<Record<string, number>>;
}

/** The loss on held-out data. */
export interface ValidationLine {
  readonly type: 'validation';
  readonly iteration: number;
  /** Present for a loss on the test set, which Megatron prints under the same name. */
  readonly set?: 'test';
  readonly lmLoss: number;
  readonly perplexity: number;
}

/** A checkpoint that is complete: its tracker file names it. */
export interface CheckpointSavedLine {
  readonly type: 'checkpoint-saved';
  readonly iteration: number;
  /** The checkpoint's root, which holds `iter_…` folders. */
  readonly directory: string;
}

/** Megatron found no checkpoint where `--load` points, and goes on from random weights without an error. */
export interface StartFromRandomLine {
  readonly type: 'start-from-random';
}

/** Every kind of line that is understood. */
export type TrainingLine = IterationLine | ValidationLine | CheckpointSavedLine | StartFromRandomLine;

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

type NumberField = Exclude<keyof IterationLine, 'type' | 'timestamp' | 'others' | 'iteration' | 'trainIterations'>;

/** Names in logs of Megatron and its forks since 2021, lower-cased, with `-` and `_` as spaces; then the factor to our unit. */
const FIELDS = new Map<string, readonly [NumberField, number?]>(
  Object.entries({
    'consumed samples': ['consumedSamples'],
    'consumed tokens': ['consumedTokens'],
    'elapsed time per iteration (ms)': ['elapsedMs'],
    'elapsed time per iteration ms': ['elapsedMs'],
    'elapsed time per iteration (s)': ['elapsedMs', 1000],
    'throughput per gpu (tflop/s/gpu)': ['throughputTflops'],
    tflops: ['throughputTflops'],
    'model tflops per gpu': ['throughputTflops'],
    'learning rate': ['learningRate'],
    lr: ['learningRate'],
    'global batch size': ['globalBatchSize'],
    'gloabl batch size': ['globalBatchSize'],
    'lm loss': ['lmLoss'],
    loss: ['lmLoss'],
    'loss scale': ['lossScale'],
    'grad norm': ['gradNorm'],
    'params norm': ['paramsNorm'],
    'number of skipped iterations': ['skippedIterations'],
    'number of nan iterations': ['nanIterations'],
  }),
);

/** Longer lines are not training lines; they are not searched, so that no line costs more than its length. */
const LONGEST_LINE = 16_384;

const ITERATION = /\biteration:?\s{0,20}(\d{1,15})\s{0,20}\/\s{0,20}(\d{1,15})\s{0,20}\|/i;
const VALIDATION = /\bvalidation\S{0,80} loss at iteration\s{1,20}(\d{1,15})([^|]{0,80})\|/i;
const SAVED = /successfully saved checkpoint (?:from|at) iteration\s{1,20}(\d{1,15}) to (\S[^[]*)/i;
const TIMESTAMP = /\[(\d{4}-?\d\d-?\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?)\]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours start with the escape character
const COLOUR = /\u001b\[[0-9;]{0,20}m/g;

/** What a line of a training log says, or `undefined` for any other line. Never throws. */
export function parseTrainingLine(line: string): TrainingLine | undefined {
  if (line.length > LONGEST_LINE) return undefined;
  const text = line.includes('\u001b') ? line.replaceAll(COLOUR, '') : line;
  if (!/iteration|random/i.test(text)) return undefined;
  return parseIteration(text) ?? parseValidation(text) ?? parseSaved(text) ?? parseStartFromRandom(text);
}

function parseIteration(text: string): IterationLine | undefined {
  const found = ITERATION.exec(text);
  if (!found) return undefined;
  const [head, iteration, total] = found;
  const line: Writable<IterationLine> = {
    type: 'iteration',
    iteration: Number(iteration),
    trainIterations: Number(total),
  };
  let others: Record<string, number> | undefined;
  eachPair(text, found.index + head.length, (name, value) => {
    const known = FIELDS.get(name);
    if (known) {
      line[known[0]] = known[1] === undefined ? value : value * known[1];
    } else {
      others ??= {};
      others[name] = value;
    }
  });
  const timestamp = found.index === 0 ? undefined : TIMESTAMP.exec(text.slice(0, found.index))?.[1];
  if (timestamp !== undefined) line.timestamp = timestamp;
  if (others) line.others = others;
  return line;
}

function parseValidation(text: string): ValidationLine | undefined {
  const found = VALIDATION.exec(text);
  if (!found) return undefined;
  const [head, iteration, where = ''] = found;
  const pairs = new Map<string, number>();
  eachPair(text, found.index + head.length, (name, value) => pairs.set(name, value));
  const lmLoss = pairs.get('lm loss value');
  if (lmLoss === undefined) return undefined;
  return {
    type: 'validation',
    iteration: Number(iteration),
    lmLoss,
    // Megatron's own definition, for a line that was cut after the loss.
    perplexity: pairs.get('lm loss ppl') ?? Math.exp(Math.min(20, lmLoss)),
    ...(where.includes('test set') ? { set: 'test' as const } : {}),
  };
}

function parseSaved(text: string): CheckpointSavedLine | undefined {
  const found = SAVED.exec(text);
  if (!found) return undefined;
  return { type: 'checkpoint-saved', iteration: Number(found[1]), directory: (found[2] as string).trim() };
}

function parseStartFromRandom(text: string): StartFromRandomLine | undefined {
  const isSaid = text.includes('will not load any checkpoints and will start from random');
  return isSaid ? { type: 'start-from-random' } : undefined;
}

const COLON = 0x3a;

/** `name: value` parts between bars. A part without a number (cut, or a memory report) is left out. */
function eachPair(text: string, from: number, take: (name: string, value: number) => void): void {
  for (let start = from; start < text.length; ) {
    const bar = text.indexOf('|', start);
    const end = bar < 0 ? text.length : bar;
    let colon = end - 1; // a search by lastIndexOf would go on before this part
    while (colon > start && text.charCodeAt(colon) !== COLON) colon--;
    if (colon > start) {
      const value = readNumber(text.slice(colon + 1, end).trim());
      if (value !== undefined) take(fieldName(text.slice(start, colon)), value);
    }
    start = end + 1;
  }
}

/** Names as they were met and as they are looked up: a log repeats some twenty of them on every line. */
const names = new Map<string, string>();
const MOST_NAMES = 256;

function fieldName(text: string): string {
  const known = names.get(text);
  if (known !== undefined) return known;
  const name = text.trim().toLowerCase().replaceAll(/[-_]/g, ' ');
  if (names.size < MOST_NAMES && text.length <= 64) names.set(text, name);
  return name;
}

/** Nearly all of them; the expression for the rest takes several times as long. */
const PLAIN_NUMBER = /^\d{1,30}(?:\.\d{1,30})?(?:E[-+]\d\d)?$/;

const SUFFIX = { k: 1e3, m: 1e6, g: 1e9, b: 1e9, t: 1e12 } as const;

/** A number as loggers print it: `nan`, `-inf`, `13100.0/13240.9` (now/average), `85.8G`. */
function readNumber(text: string): number | undefined {
  if (PLAIN_NUMBER.test(text)) return Number(text);
  const found =
    /^([-+]?)(?:(nan)|(inf(?:inity)?)|(\d{1,30}(?:\.\d{0,30})?(?:e[-+]?\d{1,4})?)([kmgbt]?))(?:\/.*)?$/i.exec(text);
  if (!found) return undefined;
  const [, sign, nan, infinity, digits, suffix] = found;
  if (nan) return Number.NaN;
  const size = infinity ? Number.POSITIVE_INFINITY : Number(digits);
  const factor = suffix ? SUFFIX[suffix.toLowerCase() as keyof typeof SUFFIX] : 1;
  return (sign === '-' ? -1 : 1) * size * factor;
}

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

/** Weights were read: those the run starts from or, after a restart, those it goes on from. */
export interface CheckpointLoadedLine {
  readonly type: 'checkpoint-loaded';
  /** 0 for a `release`: imported weights, which have not been trained yet. */
  readonly iteration: number;
  readonly directory: string;
}

/** Megatron found no checkpoint where `--load` points, and goes on from random weights without an error. */
export interface StartFromRandomLine {
  readonly type: 'start-from-random';
}

/** Every kind of line that is understood. */
export type TrainingLine =
  | IterationLine
  | ValidationLine
  | CheckpointSavedLine
  | CheckpointLoadedLine
  | StartFromRandomLine;

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

type NumberField = Exclude<keyof IterationLine, 'type' | 'timestamp' | 'others' | 'iteration' | 'trainIterations'>;

/** A field and the factor to our unit. */
type Field = readonly [NumberField, number?];

/** Names in logs of Megatron and its forks since 2021, lower-cased, with `-` and `_` as spaces; then the factor to our unit. */
const FIELDS = new Map<string, Field>(
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
const LOADED = /successfully loaded checkpoint from (\S{1,4096})(?: \[[^\]]{0,80}\])? at iteration\s{1,20}(\d{1,15})/i;
const TIMESTAMP = /\[(\d{4}-?\d\d-?\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?)\]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours start with the escape character
const COLOUR = /\u001b\[[0-9;]{0,20}m/g;

/** What a line of a training log says, or `undefined` for any other line. Never throws. */
export function parseTrainingLine(line: string): TrainingLine | undefined {
  if (line.length > LONGEST_LINE) return undefined;
  const text = line.includes('\u001b') ? line.replaceAll(COLOUR, '') : line;
  if (!/iteration|random/i.test(text)) return undefined;
  return (
    parseIteration(text) ?? parseValidation(text) ?? parseSaved(text) ?? parseLoaded(text) ?? parseStartFromRandom(text)
  );
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
  eachPair(text, found.index + head.length, (name, value, field) => {
    if (field) {
      line[field[0]] = field[1] === undefined ? value : value * field[1];
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
  eachPair(text, found.index + head.length, (name, value) => void pairs.set(name, value));
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

function parseLoaded(text: string): CheckpointLoadedLine | undefined {
  const found = LOADED.exec(text);
  if (!found) return undefined;
  return { type: 'checkpoint-loaded', iteration: Number(found[2]), directory: found[1] as string };
}

function parseStartFromRandom(text: string): StartFromRandomLine | undefined {
  const isSaid = text.includes('will not load any checkpoints and will start from random');
  return isSaid ? { type: 'start-from-random' } : undefined;
}

const COLON = 0x3a;

type Take = (name: string, value: number, field: Field | undefined) => void;

/** `name: value` parts between bars. A part without a number (cut, or a memory report) is left out. */
function eachPair(text: string, from: number, take: Take): void {
  for (let start = from, part = 0; start < text.length; part++) {
    const bar = text.indexOf('|', start);
    const end = bar < 0 ? text.length : bar;
    if (!takeAsBefore(text, start, end, part, take)) takePair(text, start, end, part, take);
    start = end + 1;
  }
}

/** Names as the line before spelt them, part by part: a log repeats them on every line. */
const layout: { readonly spelt: string; readonly name: string; readonly field: Field | undefined }[] = [];
const MOST_PARTS = 64;

/** Takes a part that has the name which its neighbour of the line before had, and a plain number; else it does nothing. */
function takeAsBefore(text: string, start: number, end: number, part: number, take: Take): boolean {
  const expected = layout[part];
  if (!expected || !text.startsWith(expected.spelt, start)) return false;
  const colon = start + expected.spelt.length;
  if (text.charCodeAt(colon) !== COLON || colon >= end) return false;
  const value = readPlainNumber(text, colon + 1, end);
  if (value === undefined) return false;
  take(expected.name, value, expected.field);
  return true;
}

function takePair(text: string, start: number, end: number, part: number, take: Take): void {
  let colon = end - 1; // a search by lastIndexOf would go on before this part
  while (colon > start && text.charCodeAt(colon) !== COLON) colon--;
  if (colon <= start) return;
  const value = readNumber(text, colon + 1, end);
  if (value === undefined) return;
  const spelt = text.slice(start, colon);
  const name = spelt.trim().toLowerCase().replaceAll(/[-_]/g, ' ');
  const field = FIELDS.get(name);
  if (part < MOST_PARTS && spelt.length <= 64) layout[part] = { spelt, name, field };
  take(name, value, field);
}

const SUFFIX = { k: 1e3, m: 1e6, g: 1e9, b: 1e9, t: 1e12 } as const;

/** A number as loggers print it: `nan`, `-inf`, `13100.0/13240.9` (now/average), `85.8G`. */
function readNumber(text: string, from: number, to: number): number | undefined {
  const plain = readPlainNumber(text, from, to);
  if (plain !== undefined) return plain;
  const found =
    /^([-+]?)(?:(nan)|(inf(?:inity)?)|(\d{1,30}(?:\.\d{0,30})?(?:e[-+]?\d{1,4})?)([kmgbt]?))(?:\/.*)?$/i.exec(
      text.slice(from, to).trim(),
    );
  if (!found) return undefined;
  const [, sign, nan, infinity, digits, suffix] = found;
  if (nan) return Number.NaN;
  const size = infinity ? Number.POSITIVE_INFINITY : Number(digits);
  const factor = suffix ? SUFFIX[suffix.toLowerCase() as keyof typeof SUFFIX] : 1;
  return (sign === '-' ? -1 : 1) * size * factor;
}

/** Powers of ten up to the last that a double holds exactly. */
const POWERS = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);
const [ZERO, NINE, POINT, SPACE, MINUS, PLUS, EXPONENT] = [0x30, 0x39, 0x2e, 0x20, 0x2d, 0x2b, 0x45];

/**
 * Nearly every number of a log, without making a text of it: up to 15 digits, perhaps a point and `E±nn`. Digits and power
 * of ten are exact doubles, so that the one division or product rounds as reading the text would. `undefined` for the rest.
 */
function readPlainNumber(text: string, from: number, to: number): number | undefined {
  let at = from;
  let end = to;
  while (at < end && text.charCodeAt(at) === SPACE) at++;
  while (end > at && text.charCodeAt(end - 1) === SPACE) end--;
  let digits = 0;
  let value = 0;
  let decimals = -1;
  for (; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code >= ZERO && code <= NINE) {
      value = value * 10 + code - ZERO;
      digits++;
      if (decimals >= 0) decimals++;
    } else if (code === POINT && decimals < 0 && digits > 0) decimals = 0;
    else break;
  }
  if (digits === 0 || digits > 15 || decimals === 0) return undefined;
  const power = at === end ? 0 : readExponent(text, at, end);
  if (power === undefined) return undefined;
  const scale = power - Math.max(0, decimals);
  if (scale < -22 || scale > 22) return undefined;
  return scale < 0 ? value / (POWERS[-scale] as number) : value * (POWERS[scale] as number);
}

/** `E-05` as −5. */
function readExponent(text: string, from: number, to: number): number | undefined {
  const sign = text.charCodeAt(from + 1);
  if (to - from !== 4 || text.charCodeAt(from) !== EXPONENT || (sign !== MINUS && sign !== PLUS)) return undefined;
  const tens = text.charCodeAt(from + 2) - ZERO;
  const ones = text.charCodeAt(from + 3) - ZERO;
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) return undefined;
  return (sign === MINUS ? -1 : 1) * (10 * tens + ones);
}

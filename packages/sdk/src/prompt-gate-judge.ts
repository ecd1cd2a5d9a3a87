import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import type { GoldenPrompt } from './prompt-gate-prompts.ts';

/** What a service answered to a prompt. */
export interface Answer {
  readonly text: string;
  /** `stop` when the model ended it itself, `length` when it was cut off. */
  readonly finishReason?: string;
}

/** What of `prompt`'s expectations does not hold of `answer`, one line each; none when all do. */
export function judgeAnswer(prompt: GoldenPrompt, { text, finishReason }: Answer): string[] {
  const faults: string[] = [];
  if (text.trim() === '') faults.push('the answer is empty');
  for (const part of prompt.contains ?? []) if (!text.includes(part)) faults.push(`does not hold ${show(part)}`);
  for (const part of prompt.excludes ?? []) if (text.includes(part)) faults.push(`holds ${show(part)}`);
  if (prompt.matches !== undefined && !new RegExp(prompt.matches, 'su').test(text)) {
    faults.push(`does not match /${prompt.matches}/su`);
  }
  if (prompt.ends && finishReason !== 'stop') faults.push(`was cut off after ${prompt.maxTokens} tokens`);
  if (prompt.jsonSchema) faults.push(...judgeJson(prompt.jsonSchema, text));
  if (prompt.similarTo) {
    const found = similarity(text, prompt.similarTo.text);
    const { atLeast } = prompt.similarTo;
    if (found < atLeast) faults.push(`has a similarity of ${found.toFixed(3)}, ${atLeast} is needed`);
  }
  return faults;
}

function judgeJson(schema: object, text: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return ['is not JSON'];
  }
  const [first] = Value.Errors(schema as TSchema, value);
  return first ? [`is not of the JSON Schema: ${first.instancePath || '/'} ${first.message}`] : [];
}

/**
 * Dice coefficient of the character trigrams of two texts, counted with their repetitions, after case and white space are levelled:
 * 1 for equal texts, 0 for texts with none in common. Texts shorter than a trigram are equal or not.
 */
export function similarity(a: string, b: string): number {
  const [left, right] = [level(a), level(b)];
  if (left.length < 3 || right.length < 3) return left.join('') === right.join('') ? 1 : 0;
  const counts = new Map<string, number>();
  for (const trigram of trigramsOf(left)) counts.set(trigram, (counts.get(trigram) ?? 0) + 1);
  let common = 0;
  for (const trigram of trigramsOf(right)) {
    const count = counts.get(trigram) ?? 0;
    if (count === 0) continue;
    counts.set(trigram, count - 1);
    common++;
  }
  return (2 * common) / (left.length + right.length - 4);
}

/** Characters, not UTF-16 units. */
const level = (text: string): string[] => [...text.normalize('NFKC').toLowerCase().replaceAll(/\s+/gu, ' ').trim()];

function* trigramsOf(characters: readonly string[]): Generator<string> {
  for (let at = 0; at + 3 <= characters.length; at++) yield characters.slice(at, at + 3).join('');
}

/** exp of the mean negative log-probability; undefined where there is none, or one is not a number. */
export function perplexityOf(logprobs: readonly unknown[]): number | undefined {
  // The first token has no token before it, so no probability either.
  const known = logprobs[0] === null ? logprobs.slice(1) : logprobs;
  if (known.length === 0 || !known.every((value) => typeof value === 'number')) return undefined;
  return Math.exp(-known.reduce((sum, value) => sum + value, 0) / known.length);
}

const show = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}…` : text);

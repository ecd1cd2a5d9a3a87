import { InvalidInputError } from '@pai-cpt/core';
import { type Static, Type } from 'typebox';
import { type InputProblem, parseInput } from './parse-input.ts';

const words = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description }));

/** One golden prompt: what is asked, and what must hold of the answer. Whatever the expectation, an answer is never empty. */
export const GoldenPromptSchema = Type.Object(
  {
    id: Type.Optional(Type.String({ minLength: 1, description: 'By default the number of its line.' })),
    prompt: Type.Optional(Type.String({ minLength: 1, description: 'Text to go on with.' })),
    messages: Type.Optional(
      Type.Array(
        Type.Object(
          { role: Type.Enum(['system', 'user', 'assistant'], { type: 'string' }), content: Type.String() },
          { additionalProperties: false },
        ),
        { minItems: 1, description: 'A chat to answer, instead of a prompt.' },
      ),
    ),
    text: Type.Optional(Type.String({ minLength: 1, description: 'A text to be scored, instead of a prompt.' })),
    maxTokens: Type.Optional(Type.Integer({ minimum: 1, default: 64, description: 'Tokens to generate at most.' })),
    contains: words('Texts that the answer holds, all of them.'),
    excludes: words('Texts that the answer holds none of.'),
    matches: Type.Optional(Type.String({ minLength: 1, description: 'Regular expression (JavaScript, flags su).' })),
    jsonSchema: Type.Optional(
      Type.Object({}, { additionalProperties: true, description: 'The answer is JSON of this JSON Schema.' }),
    ),
    ends: Type.Optional(Type.Boolean({ description: 'True: the model ends the answer itself within maxTokens.' })),
    similarTo: Type.Optional(
      Type.Object(
        {
          text: Type.String({ minLength: 1 }),
          atLeast: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
        },
        { additionalProperties: false, description: 'Dice coefficient of the character trigrams, 0 to 1.' },
      ),
    ),
    maxPerplexity: Type.Optional(Type.Number({ minimum: 1, description: 'Of the text, at most.' })),
    maxPerplexityRatio: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, description: 'Perplexity of the text, at most this times the reference’s.' }),
    ),
  },
  { additionalProperties: false, title: 'GoldenPrompt' },
);
/** See `GoldenPromptSchema`. */
export type GoldenPrompt = Static<typeof GoldenPromptSchema> & { id: string };

const OF_ANSWERS = ['contains', 'excludes', 'matches', 'jsonSchema', 'ends', 'similarTo'] as const;

/**
 * The golden prompts of a JSON Lines file: one object each line; empty lines and lines that begin with # are passed over.
 * @throws InvalidInputError `CPT_INPUT_INVALID` naming `name` and the line, also for a file without a prompt or an id twice.
 */
export function parseGoldenPrompts(text: string, name: string): GoldenPrompt[] {
  const prompts: GoldenPrompt[] = [];
  const ids = new Set<string>();
  for (const [index, line] of text.split('\n').entries()) {
    const where = `${name}, line ${index + 1}`;
    if (line.trim() === '' || line.startsWith('#')) continue;
    const value = parseInput(GoldenPromptSchema, parseLine(line, where), where, crossCheck);
    const prompt = { ...value, id: value.id ?? `line ${index + 1}` };
    if (ids.has(prompt.id)) throw invalid(where, `the id "${prompt.id}" was used before`);
    ids.add(prompt.id);
    prompts.push(prompt);
  }
  if (prompts.length === 0) throw invalid(name, 'holds no prompt; a gate without one opens for everything');
  return prompts;
}

function parseLine(line: string, where: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw invalid(where, `not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
}

function crossCheck(prompt: Static<typeof GoldenPromptSchema>): InputProblem[] {
  const asked = (['prompt', 'messages', 'text'] as const).filter((field) => prompt[field] !== undefined);
  const problem = (pointer: string, message: string): InputProblem[] => [{ pointer, message }];
  if (asked.length !== 1) return problem('', 'needs one of prompt, messages and text, and only one');
  const isScored = prompt.maxPerplexity !== undefined || prompt.maxPerplexityRatio !== undefined;
  if (asked[0] === 'text') {
    const foreign = OF_ANSWERS.find((field) => prompt[field] !== undefined);
    if (foreign) return problem(`/${foreign}`, 'is of an answer; a text gets none, only a perplexity');
    return isScored ? [] : problem('/text', 'needs maxPerplexity or maxPerplexityRatio');
  }
  if (isScored) return problem('', `has a perplexity, which is of a text, not of ${asked[0]}`);
  if (prompt.matches === undefined) return [];
  try {
    new RegExp(prompt.matches, 'su');
    return [];
  } catch (error) {
    return problem('/matches', `is no regular expression: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const invalid = (where: string, why: string): InvalidInputError =>
  new InvalidInputError('CPT_INPUT_INVALID', `${where}: ${why}`, { file: where });

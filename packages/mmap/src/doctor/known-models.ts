import { InvalidInputError } from '@pai-cpt/core';
import type { Family } from './frequent-words.ts';

/** An id that ends documents or turns of some family. */
export interface KnownEnd {
  family: string;
  spelling: string;
}

/** Ids that training data is known to end its documents with. 2 is `</s>` of Llama-2 too. */
export const KNOWN_ENDS: ReadonlyMap<number, KnownEnd> = new Map([
  [151643, { family: 'Qwen', spelling: '<|endoftext|>' }],
  [151645, { family: 'Qwen chat', spelling: '<|im_end|>' }],
  [128001, { family: 'Llama-3', spelling: '<|end_of_text|>' }],
  [128009, { family: 'Llama-3 chat', spelling: '<|eot_id|>' }],
  [50256, { family: 'GPT-2', spelling: '<|endoftext|>' }],
  [2, { family: 'Mistral', spelling: '</s>' }],
]);

/** What pre-training data for a model must keep to. */
export interface KnownModel {
  name: string;
  family: Family;
  /** Ids that its tokenizer gives: base vocabulary and added tokens. */
  vocabSize: number;
  /** Rows of its embedding table; those past `vocabSize` belong to no token and are untrained. */
  rows: number;
  /** Ends a document. */
  eodToken: number;
  /** Ends a turn of a chat in the same vocabulary: Pai's script uses it when it is given the tokenizer of a chat model. */
  turnToken: number | undefined;
}

type Sizes = Record<string, number>;
const SMALL_QWEN = 151_936;
const LARGE_QWEN = 152_064;

function family(
  name: string,
  facts: Omit<KnownModel, 'name' | 'rows'>,
  sizes: Sizes,
  rows = facts.vocabSize,
): KnownModel[] {
  return [
    { name, ...facts, rows },
    ...Object.entries(sizes).map(([size, own]) => ({ name: `${name}-${size}`, ...facts, rows: own })),
  ];
}

/** The same number of rows for each size. */
const each = (sizes: string, rows: number): Sizes => Object.fromEntries(sizes.split(' ').map((size) => [size, rows]));

const qwen = (name: string, vocabSize: number, sizes: Sizes) =>
  family(name, { family: 'Qwen', vocabSize, eodToken: 151643, turnToken: 151645 }, sizes, LARGE_QWEN);
const llama = (name: string, sizes: string) =>
  family(
    name,
    { family: 'Llama-3', vocabSize: 128_256, eodToken: 128001, turnToken: 128009 },
    each(sizes, 128_256),
    128_256,
  );
const mistral = (name: string, generation: Family, vocabSize: number) =>
  family(name, { family: generation, vocabSize, eodToken: 2, turnToken: undefined }, {});

const MODELS: ReadonlyMap<string, KnownModel> = new Map(
  [
    ...qwen('qwen2', 151_646, { ...each('0.5b 1.5b', SMALL_QWEN), ...each('7b 72b', LARGE_QWEN) }),
    ...qwen('qwen2.5', 151_665, { ...each('0.5b 1.5b 3b', SMALL_QWEN), ...each('7b 14b 32b 72b', LARGE_QWEN) }),
    ...qwen('qwen3', 151_669, each('0.6b 1.7b 4b 8b 14b 32b', SMALL_QWEN)),
    ...llama('llama-3', '8b 70b'),
    ...llama('llama-3.1', '8b 70b 405b'),
    ...llama('llama-3.2', '1b 3b'),
    ...llama('llama-3.3', '70b'),
    ...mistral('mistral', 'Mistral v1', 32_000),
    ...mistral('mistral-7b-v0.1', 'Mistral v1', 32_000),
    ...mistral('mistral-7b-v0.3', 'Mistral v3', 32_768),
    ...family('gpt-2', { family: 'GPT-2', vocabSize: 50_257, eodToken: 50256, turnToken: undefined }, {}),
  ].map((model) => [model.name, model]),
);

/** What a name on the Hugging Face hub has besides the model: its owner, and what was trained after; neither changes the vocabulary. */
const BESIDE_THE_MODEL = /^(?:.*\/)?(?:meta-(?=llama))?|-(?:base|instruct|chat|hf)(?=-|$)/g;

/**
 * The facts about a model, by name without regard to case: `qwen2-72b`, or as the Hugging Face hub has it, `Qwen/Qwen2-72B-Instruct`.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a name that is not in the table; it lists the names.
 */
export function findModel(name: string): KnownModel {
  const lower = name.toLowerCase();
  const model = MODELS.get(lower) ?? MODELS.get(lower.replace(BESIDE_THE_MODEL, ''));
  if (model) return model;
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `model "${name}" is not in the table (${[...MODELS.keys()].join(', ')}); give its tokenizer.json with --tokenizer`,
    { field: 'model' },
  );
}

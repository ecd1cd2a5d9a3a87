import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { loadTokenizer } from '@pai-cpt/mmap';
import { modelShapeFromHfConfig, openGenerator, safetensorsWeights } from '@pai-cpt/model-runner';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import type { ServeOptions } from './options.ts';

/** How tokens are chosen. */
export interface SamplingOptions {
  readonly maxTokens: number;
  /** 0 takes the likeliest token each time. */
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** A model that the server answers for. */
export interface ServedModel {
  readonly name: string;
  /** Folder it was loaded from. */
  readonly root: string;
  /** Most tokens of prompt and answer together. */
  readonly maxModelLength: number;
  readonly vocabSize: number;
  encode(text: string): Promise<Int32Array>;
  decode(ids: readonly number[]): Promise<string>;
  /** Tokens one after the other; fewer than `maxTokens` when the model ends the text itself. */
  generate(
    promptIds: Int32Array,
    options: SamplingOptions,
  ): AsyncIterable<{ readonly token: number; readonly logprob: number }>;
  /** The log-probability of every token but the first. */
  score(ids: Int32Array, options: { readonly signal: AbortSignal }): Promise<ArrayLike<number>>;
}

type Config = Readonly<Record<string, unknown>>;

/**
 * Loads a Hugging Face folder: config.json, tokenizer.json and safetensors, the weights whole into memory.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING` for a folder that is not one; `CPT_INPUT_INVALID` for a
 * `--max-model-len` above what the model was made for; and whatever is wrong in the files.
 */
export async function openServedModel(options: ServeOptions): Promise<ServedModel & { close(): Promise<void> }> {
  const { modelDirectory, servedModelName } = options;
  const config = await readConfig(join(modelDirectory, 'config.json'));
  const shape = modelShapeFromHfConfig(config);
  const maxModelLength = modelLength(config, options.maxModelLength);
  const tokenizer = await loadTokenizer(modelDirectory);
  const stopTokens = stopTokensOf(config, [tokenizer.eodToken, tokenizer.eosToken]);
  const weights = await openSafetensorsDirectory(modelDirectory);
  const generator = await openGenerator({ shape, weights: safetensorsWeights(weights) }).finally(() => weights.close());
  return {
    name: servedModelName,
    root: modelDirectory,
    maxModelLength,
    vocabSize: shape.vocabSize,
    encode: (text) => tokenizer.encode(text),
    decode: (ids) => tokenizer.decode(ids),
    generate: (promptIds, sampling) => generator.generate(promptIds, { ...sampling, stopTokens }),
    score: (ids, options) => generator.score(ids, options),
    close: () => generator.close(),
  };
}

async function readConfig(file: string): Promise<Config> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    const message = `${file}: ${error.code === 'ENOENT' ? 'does not exist' : error.message}; give the folder of a converted model`;
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', message, { file }, { cause: error });
  });
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Config;
  } catch {
    // refused below, like JSON of another kind
  }
  throw new InvalidInputError('CPT_CONFIG_MODEL', `${file}: not a JSON object; convert the checkpoint again`, { file });
}

function modelLength(config: Config, asked: number | undefined): number {
  const positions = config.max_position_embeddings;
  const known = typeof positions === 'number' ? positions : Number.POSITIVE_INFINITY;
  const length = asked ?? known;
  if (Number.isFinite(length) && length <= known) return length;
  const message = Number.isFinite(length)
    ? `--max-model-len is ${length}; max_position_embeddings of the model is ${known}`
    : 'config.json has no max_position_embeddings; say --max-model-len';
  throw new InvalidInputError('CPT_INPUT_INVALID', message, { field: 'max-model-len' });
}

/** `eos_token_id` of config.json, a number or a list, and what the tokenizer knows as an end. */
function stopTokensOf(config: Config, fromTokenizer: readonly (number | undefined)[]): number[] {
  const ids = [config.eos_token_id, ...fromTokenizer].flat();
  return [...new Set(ids.filter((id) => typeof id === 'number'))];
}

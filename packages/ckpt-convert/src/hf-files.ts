import { basename, dirname, join } from 'node:path';
import { type Dtype, InvalidInputError } from '@pai-cpt/core';
import { buildHfConfig, type SpecialTokens } from './hf-config.ts';
import type { HfConfig, ModelConfig } from './model-config.ts';
import { listDirectory, pathExists, readJsonObject } from './node.ts';

/** What makes a folder loadable beside config.json and the weights; copied as it is. Never weights, never an index. */
const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
  'merges.txt',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'tokenizer.model',
];
const REFERENCE_FILES = ['generation_config.json', 'LICENSE'];

export interface HfFilesOptions {
  /** A folder of a Hugging Face model: config.json, and a tokenizer unless one is named. */
  readonly reference?: string;
  /** A folder with tokenizer files, or a tokenizer.json itself. */
  readonly tokenizer?: string;
}

/** Files to write or copy beside the weights, planned before anything is written. */
export interface HfFiles {
  readonly contents: readonly { readonly name: string; readonly content: string }[];
  readonly copies: readonly { readonly from: string; readonly name: string }[];
  /** Fields of the reference config.json that were changed. */
  readonly patches: readonly string[];
}

/** The reference's config.json; `path` is the folder or the file. */
export async function readReference(path: string): Promise<HfConfig> {
  return readJsonObject(basename(path) === 'config.json' ? path : join(path, 'config.json'));
}

/**
 * Plans config.json, generation_config.json and the tokenizer's files.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING`, `CPT_CONFIG_VOCAB_SIZE` when the tokenizer has an id past the last row.
 */
export async function planHfFiles(
  model: ModelConfig,
  dtype: Dtype,
  reference: HfConfig | undefined,
  options: HfFilesOptions,
): Promise<HfFiles> {
  const referenceFolder = options.reference && folderOf(options.reference, 'config.json');
  const tokenizerFiles = await findTokenizerFiles(options.tokenizer, referenceFolder);
  const tokens = await readSpecialTokens(tokenizerFiles, model.vocabSize);
  const { config, patches } = buildHfConfig(model, dtype, reference, tokens);
  const copies = [...tokenizerFiles, ...(await existing(referenceFolder, REFERENCE_FILES))];
  const contents = [{ name: 'config.json', content: toJson(config) }];
  const hasGeneration = copies.some(({ name }) => name === 'generation_config.json');
  if (!hasGeneration && tokens.eosTokenId !== undefined) {
    const bos = tokens.bosTokenId === undefined ? {} : { bos_token_id: tokens.bosTokenId };
    const generation = { _from_model_config: true, ...bos, eos_token_id: tokens.eosTokenId };
    contents.push({ name: 'generation_config.json', content: toJson(generation) });
  }
  return { contents, copies, patches };
}

function folderOf(path: string, fileName: string): string {
  return basename(path) === fileName ? dirname(path) : path;
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

async function findTokenizerFiles(tokenizer: string | undefined, referenceFolder: string | undefined) {
  if (tokenizer === undefined) return existing(referenceFolder, TOKENIZER_FILES);
  if ((await listDirectory(tokenizer)) === undefined) {
    if (await pathExists(tokenizer)) return [{ from: tokenizer, name: 'tokenizer.json' }];
    throw noTokenizer(tokenizer, 'does not exist');
  }
  const found = await existing(tokenizer, TOKENIZER_FILES);
  if (found.length === 0) throw noTokenizer(tokenizer, `holds none of ${TOKENIZER_FILES.join(', ')}`);
  return found;
}

function noTokenizer(path: string, why: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_FILE_MISSING', `${path}: ${why}; name a tokenizer.json or its folder`, {
    file: path,
  });
}

async function existing(folder: string | undefined, names: readonly string[]) {
  if (folder === undefined) return [];
  const present = new Set(((await listDirectory(folder)) ?? []).map(({ name }) => name));
  return names.filter((name) => present.has(name)).map((name) => ({ from: join(folder, name), name }));
}

interface TokenizerJson {
  model?: { vocab?: Record<string, number> | unknown[] };
  added_tokens?: { id: number; content: string }[];
}

/** Ids of the special tokens, after a check that every id of the tokenizer has a row. */
async function readSpecialTokens(
  files: readonly { from: string; name: string }[],
  vocabSize: number,
): Promise<SpecialTokens> {
  const pathOf = (name: string) => files.find((file) => file.name === name)?.from;
  const path = pathOf('tokenizer.json');
  if (path === undefined) return {};
  const { model, added_tokens: added = [] } = (await readJsonObject(path)) as TokenizerJson;
  const vocab = model?.vocab ?? {};
  const ids = Array.isArray(vocab) ? vocab.map((_, id) => id) : Object.values(vocab);
  const maxId = [...ids, ...added.map(({ id }) => id)].reduce((max, id) => Math.max(max, id), -1);
  if (maxId >= vocabSize) {
    throw new InvalidInputError(
      'CPT_CONFIG_VOCAB_SIZE',
      `${path}: has the token id ${maxId}, the model keeps ${vocabSize} rows; raise --vocab-size or use the model's own tokenizer`,
      { file: path },
    );
  }
  const configPath = pathOf('tokenizer_config.json');
  const config = configPath ? await readJsonObject(configPath) : {};
  const idOf = (token: unknown): number | undefined => {
    const content = typeof token === 'object' && token !== null ? (token as { content?: unknown }).content : token;
    if (typeof content !== 'string') return undefined;
    const special = added.find((entry) => entry.content === content)?.id;
    return special ?? (Array.isArray(vocab) || !Object.hasOwn(vocab, content) ? undefined : vocab[content]);
  };
  const eosTokenId = idOf(config.eos_token) ?? idOf('<|endoftext|>');
  const bosTokenId = idOf(config.bos_token);
  return { ...(eosTokenId === undefined ? {} : { eosTokenId }), ...(bosTokenId === undefined ? {} : { bosTokenId }) };
}

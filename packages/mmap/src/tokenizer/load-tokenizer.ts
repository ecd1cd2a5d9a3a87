import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { CptError, FormatError, InvalidInputError } from '@pai-cpt/core';
import { fileSource } from '@pai-cpt/core/node';
import { parseBpeModel } from './bpe-model.ts';
import { createRustEngine } from './rust-engine.ts';
import type { Tokenizer } from './tokenizer.ts';
import { createTypescriptEngine } from './typescript-engine.ts';

const END_OF_TEXT = '<|endoftext|>';

/**
 * Loads a Hugging Face `tokenizer.json`, given as a file or as the folder that holds one; a `tokenizer_config.json` beside it
 * names the eos token.
 * @throws InvalidInputError `CPT_INPUT_FILE_MISSING`.
 * @throws FormatError `CPT_FORMAT_TOKENIZER`.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  return (await readTokenizer(path)).tokenizer;
}

/** A tokenizer with what it was made from. */
export interface ReadTokenizer {
  tokenizer: Tokenizer;
  /** The model that our own engine covers, or why it does not. */
  model: ReturnType<typeof parseBpeModel>;
  /** Of the file. */
  bytes: Uint8Array;
}

/** The same as `loadTokenizer`, for who makes encoders of his own. */
export async function readTokenizer(path: string): Promise<ReadTokenizer> {
  const { file, bytes } = await readTokenizerFile(path);
  const model = parseBpeModel(bytes, file);
  // Our own engine where it covers the model exactly, the reference where it does not.
  const engine = 'unsupported' in model ? await createRustEngine(bytes, file) : createTypescriptEngine(model);
  const eos = eosName(await readIfThere(join(dirname(file), 'tokenizer_config.json')), file);
  const eosToken = eos === undefined ? undefined : engine.tokenToId(eos);
  const tokenizer = {
    vocabSize: engine.vocabSize,
    eodToken: engine.tokenToId(END_OF_TEXT) ?? eosToken,
    eosToken,
    fingerprint: 'unsupported' in model ? createHash('sha256').update(bytes).digest('hex') : model.fingerprint,
    file,
    encode: engine.encode,
    decode: engine.decode,
  };
  return { tokenizer, model, bytes };
}

async function readTokenizerFile(path: string): Promise<{ file: string; bytes: Uint8Array }> {
  for (const file of [path, join(path, 'tokenizer.json')]) {
    const bytes = await readIfThere(file);
    if (bytes) return { file, bytes };
  }
  throw new InvalidInputError(
    'CPT_INPUT_FILE_MISSING',
    `${path}: neither a tokenizer.json nor a folder with one; give the tokenizer of the model to be trained`,
    { file: path },
  );
}

async function readIfThere(file: string): Promise<Uint8Array | undefined> {
  const source = await fileSource(file).catch((error: unknown) => {
    if (CptError.isInstance(error)) return undefined;
    throw error;
  });
  if (!source) return undefined;
  try {
    return await source.read(0, source.byteLength);
  } finally {
    await source.close();
  }
}

/** `eos_token` is a string, or an object whose `content` is it. */
function eosName(config: Uint8Array | undefined, file: string): string | undefined {
  if (!config) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(config).toString('utf8'));
  } catch (cause) {
    const name = join(dirname(file), 'tokenizer_config.json');
    throw new FormatError('CPT_FORMAT_TOKENIZER', `${name}: not JSON; copy it again`, { file: name }, { cause });
  }
  const eos = (value as { eos_token?: unknown } | null)?.eos_token;
  if (typeof eos === 'string') return eos;
  const content = (eos as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : undefined;
}

import { join } from 'node:path';
import { type Dtype, InvalidInputError, MappingError, type Shape, tensorBytes, UnsupportedError } from '@pai-cpt/core';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { FAMILIES, isFamilyName, type ModelFamily } from './families/index.ts';
import { type GlobalParameter, parametersOfHf, type TensorPlace } from './global-parameters.ts';
import { readReference } from './hf-files.ts';
import { type HfConfig, type ModelConfig, ropeThetaOf } from './model-config.ts';
import { type FilePool, openFilePool } from './node.ts';
import { expectedRows, outputsOf } from './resolve.ts';
import { requireMegatronScaling, ropeScalingOfConfig } from './rope-scaling.ts';

/** A Hugging Face folder seen as the Megatron model it becomes. Close `pool`. */
export interface HfModel {
  readonly model: ModelConfig;
  readonly config: HfConfig;
  readonly parameters: ReadonlyMap<string, GlobalParameter>;
  readonly pool: FilePool;
  readonly notes: readonly string[];
}

const HEAD = 'lm_head.weight';
const EMBEDDING = 'model.embed_tokens.weight';
/** The default of transformers for all families of the table. */
const DEFAULT_ROPE_THETA = 10_000;
const BLOCK_BYTES = 1024 * 1024;

/**
 * Opens config.json and the headers of the weights; reads no tensor, but for the head of a tied model, which must be the embedding.
 * @throws UnsupportedError `CPT_UNSUPPORTED_MODEL`, InvalidInputError `CPT_CONFIG_MODEL`, `CPT_CONFIG_VOCAB_SIZE`, MappingError
 * `CPT_MAPPING_NAMES` with every tensor that is missing or foreign.
 */
export async function openHfModel(directory: string, vocabSize?: number): Promise<HfModel> {
  const config = await readReference(directory);
  const pool = openFilePool();
  try {
    const places = await openPlaces(directory, pool);
    const { model, notes } = modelOfHf(config, places, join(directory, 'config.json'), vocabSize);
    const head = places.get(HEAD);
    if (model.isTied && head) {
      requireSameTable(head, places.get(EMBEDDING), pool);
      notes.push(`"${HEAD}" equals the embedding and config.json says tied; it is left out`);
    }
    requireKnownNames(places, model, directory);
    const parameters = parametersOfHf(model, (name) => places.get(name));
    return { model, config, parameters, pool, notes };
  } catch (error) {
    await pool.close();
    throw error;
  }
}

async function openPlaces(directory: string, pool: FilePool): Promise<Map<string, TensorPlace>> {
  const weights = await openSafetensorsDirectory(directory);
  try {
    const places = new Map<string, TensorPlace>();
    for (const [name, { dtype, shape, file, byteOffset }] of weights.tensors) {
      const path = join(directory, file);
      await pool.open(path);
      places.set(name, { dtype, shape, file: path, byteOffset });
    }
    return places;
  } finally {
    await weights.close();
  }
}

/** The sizes by config.json; the tensors are held against them afterwards, one by one. `file` is named in messages. */
export function modelOfHf(
  config: HfConfig,
  tensors: ReadonlyMap<string, { readonly dtype: Dtype; readonly shape: Shape }>,
  file: string,
  vocabSize?: number,
): { model: ModelConfig; notes: string[] } {
  const family = config.model_type;
  if (!isFamilyName(family)) {
    const known = Object.keys(FAMILIES).join(', ');
    throw new UnsupportedError(
      'CPT_UNSUPPORTED_MODEL',
      `${file}: model_type ${JSON.stringify(family)} cannot be converted yet; known are ${known}`,
      { feature: 'model_type', file },
    );
  }
  const notes: string[] = [];
  const heads = wholeField(config, 'num_attention_heads', file);
  const hiddenSize = wholeField(config, 'hidden_size', file);
  const ropeTheta = ropeThetaOf(config);
  if (ropeTheta === undefined) notes.push(`rotary base: config.json has none; ${DEFAULT_ROPE_THETA} was taken`);
  const { kind, scaling } = ropeScalingOfConfig(config);
  requireMegatronScaling(scaling, file);
  if (!scaling && kind !== 'default') {
    notes.push(`config.json scales rotary positions (${kind}); args do not say so, pass Megatron's own flags`);
  }
  const positions = config.max_position_embeddings;
  const model: ModelConfig = {
    family,
    layers: wholeField(config, 'num_hidden_layers', file),
    hiddenSize,
    ffnHiddenSize: wholeField(config, 'intermediate_size', file),
    heads,
    queryGroups: wholeField(config, 'num_key_value_heads', file, heads),
    headDim: wholeField(config, 'head_dim', file, hiddenSize / heads),
    vocabSize: keptRows(config, tensors.get(EMBEDDING)?.shape[0], file, vocabSize),
    normEpsilon: typeof config.rms_norm_eps === 'number' ? config.rms_norm_eps : 1e-6,
    ropeTheta: ropeTheta ?? DEFAULT_ROPE_THETA,
    isTied: typeof config.tie_word_embeddings === 'boolean' ? config.tie_word_embeddings : !tensors.has(HEAD),
    hasQkvBias: FAMILIES[family].hasQkvBias,
    ...(typeof positions === 'number' && { maxPositionEmbeddings: positions }),
    ...(scaling && { ropeScaling: scaling }),
  };
  return { model, notes };
}

function wholeField(config: HfConfig, name: string, file: string, fallback?: number): number {
  const value = config[name] ?? fallback;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  const found = value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`;
  throw new InvalidInputError('CPT_CONFIG_MODEL', `${file}: ${name} ${found}; a whole number is needed`, {
    file,
    field: name,
  });
}

function keptRows(config: HfConfig, rows: number | undefined, file: string, wanted: number | undefined): number {
  const claimed = wholeField(config, 'vocab_size', file, rows);
  if (rows !== undefined && claimed !== rows) {
    throw new InvalidInputError(
      'CPT_CONFIG_MODEL',
      `${file}: vocab_size is ${claimed}, the embedding has ${rows} rows`,
      {
        file,
        field: 'vocab_size',
      },
    );
  }
  if (wanted === undefined || (wanted > 0 && wanted <= claimed)) return wanted ?? claimed;
  throw new InvalidInputError(
    'CPT_CONFIG_VOCAB_SIZE',
    `${file}: --vocab-size is ${wanted}, the embedding has ${claimed} rows; rows are never invented`,
    { file },
  );
}

function requireSameTable(head: TensorPlace, embedding: TensorPlace | undefined, { readInto }: FilePool): void {
  const isSame = () => {
    if (!embedding || head.dtype !== embedding.dtype || head.shape.join() !== embedding.shape.join()) return false;
    const bytes = tensorBytes(head.shape, head.dtype);
    const length = Math.min(BLOCK_BYTES, bytes);
    const [left, right] = [new Uint8Array(length), new Uint8Array(length)];
    for (let at = 0; at < bytes; at += BLOCK_BYTES) {
      const [a, b] = [left, right].map((block) => block.subarray(0, Math.min(BLOCK_BYTES, bytes - at)));
      readInto(head.file, head.byteOffset + at, a as Uint8Array);
      readInto(embedding.file, embedding.byteOffset + at, b as Uint8Array);
      if (Buffer.compare(a as Uint8Array, b as Uint8Array) !== 0) return false;
    }
    return true;
  };
  if (isSame()) return;
  throw new InvalidInputError(
    'CPT_CONFIG_MODEL',
    `${head.file}: "${HEAD}" differs from the embedding, and config.json says tie_word_embeddings; set it to false to keep both tables`,
    { file: head.file, tensor: HEAD },
  );
}

/** A tensor that no row of the table takes would be lost in silence. */
function requireKnownNames(places: ReadonlyMap<string, TensorPlace>, model: ModelConfig, directory: string): void {
  const family: ModelFamily = FAMILIES[model.family];
  const known = new Set(
    expectedRows(family, model).flatMap(({ mapping, layer }) =>
      outputsOf(mapping, layer, model).map(({ hfName }) => hfName),
    ),
  );
  const isBuffer = (name: string) => name.endsWith('rotary_emb.inv_freq') || (model.isTied && name === HEAD);
  const foreign = [...places.keys()].filter((name) => !known.has(name) && !isBuffer(name));
  if (foreign.length === 0) return;
  const listed = foreign.map((name) => `"${name}"`).join(', ');
  throw new MappingError(
    'CPT_MAPPING_NAMES',
    `${directory}: ${foreign.length} tensors are in no row of ${family.modelType} with ${model.layers} layers: ${listed}`,
    { names: foreign, file: directory },
  );
}

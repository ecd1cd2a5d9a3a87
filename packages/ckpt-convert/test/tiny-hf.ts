import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Dtype, tensorBytes } from '@pai-cpt/core';
import { assignShards, buildIndex, INDEX_FILE, SafetensorsWriter } from '@pai-cpt/safetensors';
import type { HfTensors, ModelConfig } from '../src/index.ts';
import { randomTensors } from './tiny-checkpoint.ts';

export interface TinyHfOptions {
  readonly dtype?: Dtype;
  readonly seed?: number;
  /** Other fields of config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Other tensors, or other bytes for ours. */
  readonly extra?: Readonly<Record<string, { dtype: Dtype; shape: number[]; bytes: Uint8Array }>>;
  readonly tensors?: HfTensors & { names: string[] };
}

/** A Hugging Face folder of random weights in several shards, with config.json and two tokenizer files. */
export async function writeTinyHf(
  directory: string,
  model: ModelConfig,
  options: TinyHfOptions = {},
): Promise<HfTensors & { names: string[] }> {
  const { dtype = 'BF16', seed = 1, config = {}, extra = {} } = options;
  const tensors = options.tensors ?? randomTensors(model, dtype, seed);
  const declared = [...new Set([...tensors.names, ...Object.keys(extra)])].map((name) => {
    const { dtype: kind, shape } = extra[name] ?? (tensors.shapeOf(name) as { dtype: Dtype; shape: number[] });
    return { name, dtype: kind, shape, byteLength: tensorBytes(shape, kind) };
  });
  await mkdir(directory, { recursive: true });
  const shards = assignShards(declared, 1500);
  for (const shard of shards) {
    const chunks: Uint8Array[] = [];
    const sink = { write: async (bytes: Uint8Array) => void chunks.push(bytes.slice()) };
    const writer = new SafetensorsWriter(sink, shard.tensors, { format: 'pt' });
    await writer.start();
    for (const { name } of shard.tensors) await writer.append(extra[name]?.bytes ?? (await tensors.read(name)));
    await writer.finish();
    await writeFile(join(directory, shard.name), Buffer.concat(chunks));
  }
  if (shards.length > 1) await writeFile(join(directory, INDEX_FILE), buildIndex(shards));
  await writeFile(join(directory, 'config.json'), JSON.stringify({ ...configOf(model, dtype), ...config }));
  await writeFile(join(directory, 'tokenizer.json'), '{"model":{"vocab":{"a":0}}}');
  await writeFile(join(directory, 'merges.txt'), 'a b\n');
  return tensors;
}

function configOf(model: ModelConfig, dtype: Dtype): Record<string, unknown> {
  return {
    model_type: model.family,
    hidden_size: model.hiddenSize,
    intermediate_size: model.ffnHiddenSize,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    num_key_value_heads: model.queryGroups,
    head_dim: model.headDim,
    vocab_size: model.vocabSize,
    rms_norm_eps: model.normEpsilon,
    rope_theta: model.ropeTheta,
    tie_word_embeddings: model.isTied,
    max_position_embeddings: model.maxPositionEmbeddings,
    torch_dtype: { BF16: 'bfloat16', F32: 'float32', F16: 'float16' }[dtype as string],
  };
}

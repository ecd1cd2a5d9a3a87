import { bytesPerElement, FormatError, InvalidInputError, tensorBytes } from '@pai-cpt/core';
import { asObject, refuseLfsPointer, type TensorDeclaration } from './header.ts';
import { type Json, parseStrictJson } from './strict-json.ts';

/** One output file of a model: its name and its tensors in file order. `byteLength` counts the tensors, not the header. */
export interface OutputShard<T extends TensorDeclaration = TensorDeclaration> {
  readonly name: string;
  readonly tensors: readonly T[];
  readonly byteLength: number;
}

export interface SafetensorsIndex {
  /** Bytes of all tensors; 0 where the index does not say. */
  readonly totalSize: number;
  /** Tensor name → file name, as listed. */
  readonly weightMap: Map<string, string>;
}

/** The one file of a model that needs no index. */
export const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/**
 * Tensors dealt to files of at most `maxShardBytes`, greedily and in the given order; a bigger tensor has a file to itself.
 * Inside a file wider dtypes come first, so that every tensor is aligned; equal widths keep the given order.
 */
export function assignShards<T extends TensorDeclaration>(
  tensors: readonly T[],
  maxShardBytes: number,
): OutputShard<T>[] {
  if (!(maxShardBytes > 0)) {
    throw new InvalidInputError('CPT_INPUT_INVALID', `maxShardBytes is ${maxShardBytes}; it must be above 0`);
  }
  const groups: { tensors: T[]; byteLength: number }[] = [];
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor.shape, tensor.dtype);
    const last = groups.at(-1);
    if (last && last.byteLength + bytes <= maxShardBytes) {
      last.tensors.push(tensor);
      last.byteLength += bytes;
    } else groups.push({ tensors: [tensor], byteLength: bytes });
  }
  if (groups.length === 0) groups.push({ tensors: [], byteLength: 0 });
  return groups.map((group, i) => ({
    name: shardFileName(i + 1, groups.length),
    tensors: group.tensors.toSorted((a, b) => bytesPerElement(b.dtype) - bytesPerElement(a.dtype)),
    byteLength: group.byteLength,
  }));
}

/** `model.safetensors` for one file, else `model-00001-of-0000N.safetensors`; `number` counts from 1, as transformers does. */
export function shardFileName(number: number, count: number): string {
  if (count === 1) return SINGLE_FILE;
  const digits = (n: number) => String(n).padStart(5, '0');
  return `model-${digits(number)}-of-${digits(count)}.safetensors`;
}

/** The text of `model.safetensors.index.json`, sorted by tensor name as transformers writes it. */
export function buildIndex(shards: readonly OutputShard[]): string {
  const files = shards.flatMap((shard) => shard.tensors.map(({ name }) => [name, shard.name] as const));
  files.sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = files.map(([name, file]) => `    ${JSON.stringify(name)}: ${JSON.stringify(file)}`);
  const totalSize = shards.reduce((sum, shard) => sum + shard.byteLength, 0);
  const metadata = `  "metadata": {\n    "total_size": ${totalSize}\n  }`;
  return `{\n${metadata},\n  "weight_map": {\n${lines.join(',\n')}\n  }\n}\n`;
}

/**
 * What an index lists. Its file names are plain names: nothing in it can lead out of its directory.
 * @throws FormatError `CPT_FORMAT_HEADER_JSON`, `CPT_FORMAT_HEADER_ENCODING`, `CPT_FORMAT_DUPLICATE_KEY` (a tensor twice),
 *   `CPT_FORMAT_SHARD_PATH`, `CPT_FORMAT_LFS_POINTER`.
 */
export function parseIndex(bytes: Uint8Array, file: string): SafetensorsIndex {
  refuseLfsPointer(bytes, file);
  const index = asObject(parseStrictJson(bytes, file), file, 'the index');
  const weightMap = new Map<string, string>();
  for (const [tensor, shard] of asObject(index.get('weight_map') ?? null, file, 'weight_map')) {
    weightMap.set(tensor, plainFileName(shard, tensor, file));
  }
  const metadata = index.get('metadata');
  const totalSize = metadata instanceof Map ? numberOf(metadata.get('total_size')) : 0;
  return { totalSize, weightMap };
}

function plainFileName(value: Json, tensor: string, file: string): string {
  const isPlain = typeof value === 'string' && /^[^/\\:\0]+\.safetensors$/.test(value) && !value.startsWith('.');
  if (isPlain) return value;
  const why = `"${tensor}" lies in ${JSON.stringify(value)}; a *.safetensors file beside the index is needed`;
  throw new FormatError('CPT_FORMAT_SHARD_PATH', `${file}: ${why}`, { file, names: [tensor] });
}

/** Some writers give `total_size` as a float; it is only reported, so its nearest integer will do. */
function numberOf(value: Json | undefined): number {
  if (typeof value === 'number') return value;
  return typeof value === 'object' && value !== null && 'raw' in value ? Math.round(Number(value.raw)) : 0;
}

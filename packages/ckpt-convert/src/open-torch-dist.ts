// A distributed checkpoint (Megatron's `torch_dist`), which knows no ranks:
//
//   metadata.json   { "sharded_backend": "torch_dist", … }, absent where torch.distributed.checkpoint wrote alone
//   .metadata       name → shape, dtype, chunks; chunk → file, offset, length
//   *.distcp        items one behind the other, each a whole torch.save file
//   common.pt       { args, iteration, … }, or the object common_state/shard_0_1 in a .distcp file, or objects of these names
//
// Tensors are global: query groups of linear_qkv in order, all gate rows before all up rows in linear_fc1, which is what one rank
// alone would hold. So the checkpoint is given as one tensor rank and one stage, whatever ranks wrote it, and every tensor as one
// packed shard of `.metadata`: an address space of its own, which `readInto` resolves into the chunks.

import { basename, join } from 'node:path';
import {
  type ByteSource,
  contiguousStride,
  type Dtype,
  FormatError,
  isContiguous,
  sliceSource,
  tensorBytes,
  UnsupportedError,
} from '@pai-cpt/core';
import type { FileSource } from '@pai-cpt/core/node';
import {
  asMap,
  type DistItem,
  type DistMetadata,
  type DistTensor,
  getEntry,
  isKind,
  namespaceFields,
  openTorchFile,
  type PickleMap,
  readDistMetadata,
  type TorchFile,
  type TorchTensor,
} from '@pai-cpt/torch-checkpoint';
import type { MegatronCheckpoint, MegatronParameter, OpenCheckpointOptions, ReadInto } from './checkpoint.ts';
import { describeModel } from './describe-model.ts';
import { boxReader, type DistBox, type DistTensorBoxes, requireTiling } from './dist-tensor.ts';
import type { LocatedCheckpoint } from './locate-checkpoint.ts';
import { locatingSource } from './locating-source.ts';
import { type ArgsNamespace, numberArg } from './model-config.ts';
import { type FilePool, listDirectory, openFilePool, readTextFile } from './node.ts';
import { countLayers } from './pipeline-layout.ts';
import { canonicalName, isIgnoredName } from './resolve.ts';
import { refusal, refuseUnsupportedArgs, refuseUnsupportedNames } from './unsupported-features.ts';

type LocatedDist = Extract<LocatedCheckpoint, { format: 'torch_dist' }>;

const COMMON_STATE = 'common_state/shard_0_1';

/** Opens a distributed checkpoint: `.metadata`, and the header of every chunk of the model. No tensor is read. */
export async function openTorchDistCheckpoint(
  { directory, notes }: LocatedDist,
  options: OpenCheckpointOptions,
): Promise<MegatronCheckpoint> {
  const isMegatron = await requireBackend(directory);
  const pool = openFilePool();
  try {
    const items = itemOpener(directory, pool, options.signal);
    const metadataFile = join(directory, '.metadata');
    const source = await pool.open(metadataFile);
    const metadata = await readDistMetadata(source, metadataFile, options.signal);
    const common = await readCommon(directory, metadata, items, pool, options.signal);
    if (common.args) refuseUnsupportedArgs(common.args, directory);
    if (!isMegatron && !common.isMegatron) refuseMixedHalves([...metadata.tensors.keys()], common.args, directory);
    const tensors = await openTensors(directory, metadata, items);
    const space = addressSpace(tensors, metadataFile, pool.readInto);
    const parameters = space.placed.flatMap((placed) => parametersOf(placed, metadataFile));
    const numbers = parameters.flatMap(({ megatronName }) => /^decoder\.layers\.(\d+)\./.exec(megatronName)?.[1] ?? []);
    const { layersPerStage } = countLayers([new Set(numbers.map(Number))], directory);
    const parallel = { tensorParallelSize: 1, pipelineParallelSize: 1, virtualStages: 1 };
    const { args } = common;
    const described = describeModel({ directory, parameters, parallel, layersPerStage, args }, options);
    return {
      format: 'torch_dist',
      directory,
      iteration: common.iteration ?? iterationOfName(directory),
      parallel,
      layersPerStage,
      args,
      ...described,
      problems: [...notes, ...described.problems],
      parameters: () => parameters,
      readInto: space.readInto,
      verifyChecksums: items.verifyChecksums,
      close: pool.close,
    };
  } catch (error) {
    await pool.close();
    throw error;
  }
}

/**
 * @returns false where torch wrote alone, without saying how a model was cut.
 * @throws UnsupportedError `CPT_UNSUPPORTED_CHECKPOINT` for the zarr backend of before 2024, FormatError `CPT_FORMAT_DIST_METADATA`.
 */
async function requireBackend(directory: string): Promise<boolean> {
  const file = join(directory, 'metadata.json');
  const text = await readTextFile(file);
  if (text === undefined) return false;
  const backend = backendOf(text, file);
  if (backend === 'torch_dist') return true;
  const why = `sharded_backend is ${JSON.stringify(backend)}; only "torch_dist" is read, save it again with --ckpt-format torch_dist`;
  throw new UnsupportedError('CPT_UNSUPPORTED_CHECKPOINT', `${file}: ${why}`, { file, feature: String(backend) });
}

function backendOf(text: string, file: string): unknown {
  try {
    return (JSON.parse(text) as { sharded_backend?: unknown } | null)?.sharded_backend;
  } catch (cause) {
    throw new FormatError('CPT_FORMAT_DIST_METADATA', `${file}: is not JSON; copy it again`, { file }, { cause });
  }
}

function iterationOfName(directory: string): number {
  return Number(/^iter_(\d+)$/.exec(basename(directory))?.[1] ?? 0);
}

interface OpenItem {
  readonly torch: TorchFile;
  readonly path: string;
  /** Where in the file the first element of a tensor lies. */
  offsetOf(tensor: TorchTensor): Promise<number>;
}

interface ItemOpener {
  open(item: DistItem, name: string): Promise<OpenItem>;
  verifyChecksums(signal?: AbortSignal): Promise<number>;
}

function itemOpener(directory: string, pool: FilePool, signal: AbortSignal | undefined): ItemOpener {
  const opened: OpenItem[] = [];
  return {
    async open({ relativePath, byteOffset, byteLength }, name) {
      const path = join(directory, relativePath);
      const source = locatingSource(atOnce(await pool.open(path)));
      const what = `${path} "${name}" at byte ${byteOffset}`;
      const torch = await openTorchFile(sliceSource(source, byteOffset, byteLength, what), what, signal);
      const item = { torch, path, offsetOf: (tensor: TorchTensor) => source.offsetOf(torch.tensorSource(tensor)) };
      opened.push(item);
      return item;
    },
    async verifyChecksums(abort) {
      const compared = new Set<string>();
      for (const { torch, path } of opened) if (await torch.verifyChecksums(abort)) compared.add(path);
      return compared.size;
    },
  };
}

/** Reads without waiting: of each of thousands of items a few hundred bytes are asked for at five places. */
function atOnce(file: FileSource): ByteSource {
  return {
    byteLength: file.byteLength,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      return file.readSync(offset, length);
    },
  };
}

/** What is not sharded: a file of its own up to megatron-core 0.16, an object in a list of one since. */
async function readCommon(
  directory: string,
  metadata: DistMetadata,
  items: ItemOpener,
  pool: FilePool,
  signal: AbortSignal | undefined,
) {
  const names = ((await listDirectory(directory)) ?? []).map(({ name }) => name);
  const object = metadata.objects.get(COMMON_STATE);
  let state: PickleMap | undefined;
  if (names.includes('common.pt')) {
    const path = join(directory, 'common.pt');
    state = asMap((await openTorchFile(await pool.open(path), path, signal)).root, path);
  } else if (object) {
    const { torch } = await items.open(object, COMMON_STATE);
    state = asMap(Array.isArray(torch.root) ? torch.root[0] : torch.root, torch.file);
  }
  const entry = async (name: string) => {
    const single = state ? undefined : metadata.objects.get(name);
    return single ? (await items.open(single, name)).torch.root : getEntry(state, name);
  };
  const namespace = (await entry('args')) ?? null;
  const iteration = await entry('iteration');
  return {
    args: namespace === null ? undefined : namespaceFields(namespace, `${directory}: "args"`),
    iteration: typeof iteration === 'number' ? iteration : undefined,
    /** Only Megatron puts what is not sharded together. */
    isMegatron: state !== undefined,
  };
}

/** What stands before a model's own names: modules around it, and the key of the dict that was saved. */
const WRAPPERS = /^(model\.(?=(module\.)*(embedding|decoder|output_layer)\.))?(module\.)*/;

/** True for the state of an optimizer, alone or one of several chained ones. */
const isOptimizerName = (name: string) => /^(chained_\d+\.)?optimizer\./.test(name);

/** The tensors of the model, each proven to be tiled by its chunks. */
async function openTensors(directory: string, metadata: DistMetadata, items: ItemOpener): Promise<DistTensorBoxes[]> {
  const wanted = [...metadata.tensors]
    .map(([name, tensor]) => [name.replace(WRAPPERS, ''), tensor] as const)
    .filter(([name]) => !isOptimizerName(name) && !isIgnoredName(name));
  refuseUnsupportedNames(
    [...wanted.map(([name]) => name), ...metadata.objects.keys()].filter((name) => !name.startsWith('optimizer.')),
    directory,
  );
  const opened = new Map<string, DistTensorBoxes>();
  for (const [name, tensor] of wanted) {
    const { dtype, shape } = tensor;
    if (dtype === undefined || dtype.startsWith('F8')) throw refusal(directory, 'FP8 parameters', `"${name}"`);
    const boxes = { name, dtype, shape, boxes: await openChunks(name, tensor, dtype, items) };
    requireTiling(boxes, directory);
    opened.set(name, boxes);
  }
  return joinHalves(opened, directory);
}

async function openChunks(name: string, tensor: DistTensor, dtype: Dtype, items: ItemOpener): Promise<DistBox[]> {
  const boxes: DistBox[] = [];
  for (const chunk of tensor.chunks) {
    const { torch, path, offsetOf } = await items.open(chunk, name);
    const { root } = torch;
    const sizes = chunk.sizes.join(', ');
    if (
      !isKind(root, 'tensor') ||
      root.dtype !== dtype ||
      root.shape.join(', ') !== sizes ||
      !isContiguous(root.shape, root.stride)
    ) {
      const found = isKind(root, 'tensor')
        ? `${root.dtype} [${root.shape.join(', ')}] with strides [${root.stride.join(', ')}]`
        : 'no tensor';
      const why = `the item is ${found}, .metadata says packed ${dtype} [${sizes}]`;
      throw new FormatError('CPT_FORMAT_DIST_CHUNKS', `${torch.file}: ${why}`, { file: path, tensor: name });
    }
    boxes.push({ offsets: chunk.offsets, sizes: chunk.sizes, file: path, byteOffset: await offsetOf(root) });
  }
  return boxes;
}

/** Gate and up may be saved as two tensors, `…weight_w` and `…weight_v`; they become one, gate rows first. */
function joinHalves(tensors: Map<string, DistTensorBoxes>, directory: string): DistTensorBoxes[] {
  return [...tensors.values()].flatMap((tensor) => {
    const [, stem, half] = /^(.*linear_fc1\.weight)_([wv])$/.exec(tensor.name) ?? [];
    if (stem === undefined) return [tensor];
    const other = tensors.get(`${stem}_${half === 'w' ? 'v' : 'w'}`);
    if (!other || other.shape.join() !== tensor.shape.join() || other.dtype !== tensor.dtype) {
      const why = `"${tensor.name}" [${tensor.shape.join(', ')}] has no other half of its shape`;
      throw new FormatError('CPT_FORMAT_DIST_CHUNKS', `${directory}: ${why}`, { file: directory, tensor: tensor.name });
    }
    if (half === 'v') return [];
    const axis = tensor.shape.length - 2;
    const rows = tensor.shape[axis] as number;
    const at = (sizes: readonly number[], add: number) => sizes.map((size, i) => (i === axis ? size + add : size));
    const lower = other.boxes.map((box) => ({ ...box, offsets: at(box.offsets, rows) }));
    return [{ ...tensor, name: stem, shape: at(tensor.shape, rows), boxes: [...tensor.boxes, ...lower] }];
  });
}

/** Of several tensor ranks torch alone would lay gate and up of each rank one after the other: the right shape, and a wrong model. */
function refuseMixedHalves(names: readonly string[], args: ArgsNamespace | undefined, directory: string): void {
  const ranks = numberArg(args, 'tensor_model_parallel_size') ?? 1;
  const whole = names.find((name) => name.endsWith('.linear_fc1.weight'));
  if (ranks === 1 || !whole) return;
  const why = `"${whole}" of ${ranks} tensor ranks, and no metadata.json that tells how gate and up lie in it`;
  throw new UnsupportedError(
    'CPT_UNSUPPORTED_CHECKPOINT',
    `${directory}: ${why}; save it with --ckpt-format torch_dist`,
    {
      feature: 'torch DCP of several tensor ranks',
      file: directory,
    },
  );
}

interface PlacedTensor {
  readonly tensor: DistTensorBoxes;
  readonly byteOffset: number;
}

/** Lays the tensors one behind the other, and reads out of any of them as if `.metadata` held them so. */
function addressSpace(tensors: readonly DistTensorBoxes[], metadataFile: string, readFile: ReadInto) {
  const placed: PlacedTensor[] = [];
  let end = 0;
  for (const tensor of tensors) {
    placed.push({ tensor, byteOffset: end });
    end += tensorBytes(tensor.shape, tensor.dtype);
  }
  const readers = placed.map(({ tensor }) => boxReader(tensor, readFile));
  const readInto: ReadInto = (file, position, target) => {
    if (file !== metadataFile) throw new RangeError(`${file} is no tensor of ${metadataFile}`);
    let [low, high] = [0, placed.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((placed[middle] as PlacedTensor).byteOffset <= position) low = middle;
      else high = middle - 1;
    }
    const found = placed[low] as PlacedTensor;
    const past = position + target.byteLength - found.byteOffset - tensorBytes(found.tensor.shape, found.tensor.dtype);
    if (past > 0) throw new RangeError(`bytes past the end of "${found.tensor.name}" are asked for`);
    readers[low]?.(position - found.byteOffset, target);
  };
  return { placed, readInto };
}

/** A stacked tensor is one parameter a layer; its first axis is the global layer number. */
function parametersOf({ tensor, byteOffset }: PlacedTensor, file: string): MegatronParameter[] {
  const { name, dtype, shape } = tensor;
  const [, rest] = /^decoder\.layers\.(?!\d+\.)(.+)$/.exec(name) ?? [];
  if (rest === undefined) return [parameter(name, dtype, shape, file, byteOffset)];
  const [layers = 0, ...inner] = shape;
  const bytes = tensorBytes(inner, dtype);
  return Array.from({ length: layers }, (_, layer) =>
    parameter(`decoder.layers.${layer}.${rest}`, dtype, inner, file, byteOffset + layer * bytes),
  );
}

function parameter(
  localName: string,
  dtype: Dtype,
  shape: readonly number[],
  file: string,
  byteOffset: number,
): MegatronParameter {
  const shard = { tensorRank: 0, file, byteOffset, shape, stride: contiguousStride(shape) };
  return { megatronName: canonicalName(localName), localName, pipelineStage: 0, dtype, shards: [shard] };
}

import { castDtype, type Dtype, InvalidInputError } from '@pai-cpt/core';
import type { WeightSource } from '@pai-cpt/model-runner';
import type { SafetensorsDirectory } from '@pai-cpt/safetensors';
import type { MegatronCheckpoint, MegatronParameter, PlacedShard } from './checkpoint.ts';
import { numberArg } from './model-config.ts';
import { readRows } from './read-rows.ts';

export interface RunOptions {
  /** Dataset path without `.bin` and `.idx`. */
  readonly data: string;
  /** Tokens a sequence; default: what the training used. */
  readonly sequenceLength?: number;
  /** Default: as many of the dataset as `MAX_HIDDEN_BYTES` allows. */
  readonly maxSequences?: number;
  onLayer?(layer: number, relativeL2: number): void;
}

export interface RunReport {
  readonly sequences: number;
  /** How many the dataset has. */
  readonly availableSequences: number;
  readonly sequenceLength: number;
  readonly tokens: number;
  readonly layers: readonly { readonly layer: number; readonly relativeL2: number }[];
  readonly maxLayerRelativeL2: number;
  /** Mean over all positions of the negative log-likelihood of the next token. */
  readonly validationLoss: { readonly hf: number; readonly megatron: number };
}

/** Float32 hidden states of one side: what grows with the tokens, since all of them pass a layer before the next one is read. */
const MAX_HIDDEN_BYTES = 128 * 1024 * 1024;

/**
 * Runs the converted model and the checkpoint on the same tokens, layer by layer. The Megatron side computes with the rank files as
 * they lie, so a wrong merge cannot hide by being made twice. The engine (onnxruntime, 290 MB) is loaded here and nowhere else.
 */
export async function runBoth(
  hf: SafetensorsDirectory,
  hfConfig: Readonly<Record<string, unknown>>,
  checkpoint: MegatronCheckpoint,
  options: RunOptions,
): Promise<RunReport> {
  const [runner, mmap] = await Promise.all([import('@pai-cpt/model-runner'), import('@pai-cpt/mmap')]);
  const dataset = await mmap.openDataset(options.data);
  try {
    const length = requireLength(checkpoint, options);
    const { sequences, available } = await consecutiveWindows(dataset, length, checkpoint, options);
    const dtype = dtypeOfAll(hf);
    const compared = await runner.compareForwards({
      shape: runner.modelShapeFromHfConfig(hfConfig),
      sequences,
      hf: runner.safetensorsWeights(hf),
      megatron: {
        // A chunk of a virtual stage runs as a stage of its own.
        parallel: { ...checkpoint.parallel, pipelineParallelSize: checkpoint.layersPerStage.length },
        layersPerStage: checkpoint.layersPerStage,
        rank: (tensorRank, pipelineStage) => rankWeights(checkpoint, tensorRank, pipelineStage, dtype),
      },
      ...(options.onLayer && { onLayer: options.onLayer }),
    });
    return {
      sequences: sequences.length,
      availableSequences: available,
      sequenceLength: length,
      tokens: compared.hf.tokens,
      layers: compared.layers,
      maxLayerRelativeL2: compared.maxLayerRelativeL2,
      validationLoss: { hf: compared.hf.loss, megatron: compared.megatron.loss },
    };
  } finally {
    await dataset.close();
  }
}

function requireLength(checkpoint: MegatronCheckpoint, { sequenceLength }: RunOptions): number {
  const length = sequenceLength ?? numberArg(checkpoint.args, 'seq_length');
  if (length !== undefined && length > 1) return length;
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `args.seq_length of the checkpoint is ${length ?? 'missing'}; pass --sequence-length`,
  );
}

interface TokenStream {
  readonly prefix: string;
  readonly tokenCount: number;
  tokens(from: number, count: number): Promise<Int32Array>;
}

/** Windows of `length + 1` tokens, each beginning at the last token of the one before: every token is predicted once. */
async function consecutiveWindows(
  dataset: TokenStream,
  length: number,
  { modelConfig }: MegatronCheckpoint,
  { maxSequences }: RunOptions,
): Promise<{ sequences: Int32Array[]; available: number }> {
  const available = Math.floor((dataset.tokenCount - 1) / length);
  if (available < 1) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${dataset.prefix}: has ${dataset.tokenCount} tokens; a sequence of ${length} needs ${length + 1}`,
    );
  }
  const fitting = Math.max(1, Math.floor(MAX_HIDDEN_BYTES / (4 * length * modelConfig.hiddenSize)));
  const count = Math.min(available, maxSequences ?? fitting);
  const sequences: Int32Array[] = [];
  for (let at = 0; at < count; at++) sequences.push(await dataset.tokens(at * length, length + 1));
  return { sequences, available };
}

/** The one dtype that the output was written in; undefined where there are several, which a cast never leaves. */
function dtypeOfAll(hf: SafetensorsDirectory): Dtype | undefined {
  const [dtype, ...others] = new Set([...hf.tensors.values()].map((tensor) => tensor.dtype));
  return others.length === 0 ? dtype : undefined;
}

/**
 * The tensors of one rank file under the names that it uses itself; strided ones are packed as they are read. With `dtype` they are
 * rounded to it first, as `--dtype` rounds: a model in BF16 differs from its F32 by more than a misplaced row does.
 */
export function rankWeights(
  checkpoint: MegatronCheckpoint,
  tensorRank: number,
  pipelineStage: number,
  dtype?: Dtype,
): WeightSource {
  const local = new Map(
    checkpoint
      .parameters()
      .filter((parameter) => parameter.pipelineStage === pipelineStage)
      .map((parameter) => [parameter.localName, parameter]),
  );
  const find = (name: string): { parameter: MegatronParameter; shard: PlacedShard } | undefined => {
    const parameter = local.get(name);
    const shard = parameter?.shards[tensorRank];
    return parameter && shard && { parameter, shard };
  };
  return {
    shapeOf(name) {
      const found = find(name);
      return found && { dtype: dtype ?? found.parameter.dtype, shape: found.shard.shape };
    },
    async read(name, rows) {
      const found = find(name);
      if (!found) throw new RangeError(`rank ${tensorRank} of stage ${pipelineStage} has no "${name}"`);
      const { parameter, shard } = found;
      const to = rows?.to ?? shard.shape[0] ?? 1;
      const bytes = readRows(shard, parameter.dtype, rows?.from ?? 0, to, checkpoint.readInto);
      return castDtype(bytes, parameter.dtype, dtype ?? parameter.dtype);
    },
  };
}

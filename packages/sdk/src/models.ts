/** Sizes of a dense decoder, as far as planning and launching need them. */
export interface ModelShape {
  /** The family of launch scripts in Pai-Megatron-Patch. */
  readonly family: 'qwen2' | 'qwen2.5' | 'qwen3';
  /** MODEL_SIZE of the launch script. */
  readonly size: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly ffnHiddenSize: number;
  readonly heads: number;
  readonly queryGroups: number;
  readonly headDim: number;
  /** Rows of the embedding table; `undefined` where the dataset's tokenizer decides. */
  readonly vocabSize: number | undefined;
  /** True when the output layer is the embedding table. */
  readonly isTied: boolean;
}

type Row = [layers: number, hidden: number, ffn: number, heads: number, groups: number, vocab: number | undefined];

const qwen2 = (size: string, row: Row, tied: 'tied' | 'untied', family: 'qwen2' | 'qwen2.5' = 'qwen2'): ModelShape =>
  shape(family, size, row, tied, row[1] / row[3]);
const qwen25 = (size: string, row: Row, tied: 'tied' | 'untied'): ModelShape => qwen2(size, row, tied, 'qwen2.5');
/** Qwen3 has heads of 128, also where that is not hidden size over heads. */
const qwen3 = (size: string, row: Row, tied: 'tied' | 'untied'): ModelShape => shape('qwen3', size, row, tied, 128);

function shape(family: ModelShape['family'], size: string, row: Row, tied: string, headDim: number): ModelShape {
  const [layers, hiddenSize, ffnHiddenSize, heads, queryGroups, vocabSize] = row;
  return {
    family,
    size,
    ...{ layers, hiddenSize, ffnHiddenSize, heads, queryGroups, headDim, vocabSize },
    isTied: tied === 'tied',
  };
}

/** The supported models: layers, hidden, ffn, heads, query groups, vocabulary. */
export const MODELS = {
  'qwen2-0.5b': qwen2('0.5B', [24, 896, 4864, 14, 2, 151_936], 'tied'),
  'qwen2-1.5b': qwen2('1.5B', [28, 1536, 8960, 12, 2, 151_936], 'tied'),
  'qwen2-7b': qwen2('7B', [28, 3584, 18_944, 28, 4, 152_064], 'untied'),
  'qwen2-72b': qwen2('72B', [80, 8192, 29_568, 64, 8, 152_064], 'untied'),
  // For a run on one machine; trained by the tiny-megatron image of pai-local.
  'qwen2-tiny': qwen2('tiny', [4, 64, 176, 4, 2, undefined], 'untied'),
  'qwen2.5-0.5b': qwen25('0.5B', [24, 896, 4864, 14, 2, 151_936], 'tied'),
  'qwen2.5-1.5b': qwen25('1.5B', [28, 1536, 8960, 12, 2, 151_936], 'tied'),
  'qwen2.5-3b': qwen25('3B', [36, 2048, 11_008, 16, 2, 151_936], 'tied'),
  'qwen2.5-7b': qwen25('7B', [28, 3584, 18_944, 28, 4, 152_064], 'untied'),
  'qwen2.5-14b': qwen25('14B', [48, 5120, 13_824, 40, 8, 152_064], 'untied'),
  'qwen2.5-32b': qwen25('32B', [64, 5120, 27_648, 40, 8, 152_064], 'untied'),
  'qwen2.5-72b': qwen25('72B', [80, 8192, 29_568, 64, 8, 152_064], 'untied'),
  'qwen3-0.6b': qwen3('0.6B', [28, 1024, 3072, 16, 8, 151_936], 'tied'),
  'qwen3-1.7b': qwen3('1.7B', [28, 2048, 6144, 16, 8, 151_936], 'tied'),
  'qwen3-4b': qwen3('4B', [36, 2560, 9728, 32, 8, 151_936], 'tied'),
  'qwen3-8b': qwen3('8B', [36, 4096, 12_288, 32, 8, 151_936], 'untied'),
  'qwen3-14b': qwen3('14B', [40, 5120, 17_408, 40, 8, 151_936], 'untied'),
  'qwen3-32b': qwen3('32B', [64, 5120, 25_600, 64, 8, 151_936], 'untied'),
} as const satisfies Record<string, ModelShape>;

/** A name in `MODELS`. */
export type ModelName = keyof typeof MODELS;

/** Every name in `MODELS`, in its order. */
export const MODEL_NAMES = Object.keys(MODELS) as [ModelName, ...ModelName[]];

/**
 * Parameters in all: embedding (and output layer, when untied), attention with Q, K, V and O of `headDim` rows a head,
 * gate, up and down, two norms a layer and the last one. Qwen2 has biases on Q, K, V; Qwen3 has norms on Q and K instead.
 */
export function parameterCount(model: ModelShape, vocabSize = model.vocabSize ?? 0): number {
  const { layers, hiddenSize, ffnHiddenSize, heads, queryGroups, headDim, isTied, family } = model;
  const queryRows = heads * headDim;
  const keyRows = queryGroups * headDim;
  const attention = hiddenSize * (2 * queryRows + 2 * keyRows);
  const attentionExtra = family === 'qwen3' ? 2 * headDim : queryRows + 2 * keyRows;
  const mlp = 3 * hiddenSize * ffnHiddenSize;
  const tables = vocabSize * hiddenSize * (isTied ? 1 : 2);
  return tables + layers * (attention + attentionExtra + mlp + 2 * hiddenSize) + hiddenSize;
}

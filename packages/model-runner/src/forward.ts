import { openHfModel } from './hf-forward.ts';
import { createPass, type LayerwiseModel } from './layerwise.ts';
import { type MegatronRanks, openMegatronModel } from './megatron-forward.ts';
import type { ModelShape } from './model-shape.ts';
import { toTokenBatch } from './token-batch.ts';
import type { WeightSource } from './weights.ts';

export interface ForwardOptions {
  readonly shape: ModelShape;
  /** Each of S + 1 ids; all of one length. */
  readonly sequences: readonly Int32Array[];
  /** Threads of one operator; one per physical core when not set. */
  readonly threads?: number;
}

export interface LayerObserver {
  /** Called after each layer with the hidden states `[B·S, H]`; the next layer overwrites them. */
  onLayer?(layer: number, hidden: Float32Array): void;
}

export interface ForwardResult {
  /** Mean negative log-likelihood of the next token, over all positions of all sequences; its exponential is the perplexity. */
  readonly loss: number;
  /** Positions that the mean is over. */
  readonly tokens: number;
}

/** The loss of a model with Hugging Face weights, in float32. All sequences pass a layer before the next one is read. */
export async function runHfForward(
  options: ForwardOptions & LayerObserver & { readonly weights: WeightSource },
): Promise<ForwardResult> {
  const batch = toTokenBatch(options.sequences, options.shape.vocabSize);
  const model = openHfModel(createPass(options.shape, batch, options.threads), options.weights);
  return runAll(model, options, batch.inputs.length);
}

/** The loss of a model in Megatron's rank files, in float32; nothing is merged first. */
export async function runMegatronForward(
  options: ForwardOptions & LayerObserver & MegatronRanks,
): Promise<ForwardResult> {
  const batch = toTokenBatch(options.sequences, options.shape.vocabSize);
  const model = openMegatronModel(createPass(options.shape, batch, options.threads), options);
  return runAll(model, options, batch.inputs.length);
}

async function runAll(
  model: LayerwiseModel,
  options: ForwardOptions & LayerObserver,
  tokens: number,
): Promise<ForwardResult> {
  try {
    const hidden = await model.embed();
    for (let layer = 0; layer < options.shape.layers; layer++) {
      await model.runLayer(layer, hidden);
      options.onLayer?.(layer, hidden);
    }
    return { loss: await model.loss(hidden), tokens };
  } finally {
    await model.close();
  }
}

export interface ForwardComparison {
  readonly layers: readonly {
    readonly layer: number;
    /** ‖hf − megatron‖ ÷ ‖megatron‖ of the hidden states after the layer. */
    readonly relativeL2: number;
  }[];
  /** NaN when any hidden state is not finite, so that a comparison with a limit fails. */
  readonly maxLayerRelativeL2: number;
  readonly hf: ForwardResult;
  readonly megatron: ForwardResult;
}

/**
 * Runs both forms of one model side by side on the same tokens, one layer of each at a time. The first layer whose difference
 * rises above rounding (about 1e-6) is where a conversion went wrong; the losses alone can miss it, or even improve.
 */
export async function compareForwards(
  options: ForwardOptions & {
    readonly hf: WeightSource;
    readonly megatron: MegatronRanks;
    /** Called after each layer has run on both sides. */
    onLayer?(layer: number, relativeL2: number): void;
  },
): Promise<ForwardComparison> {
  const { shape, threads } = options;
  const batch = toTokenBatch(options.sequences, shape.vocabSize);
  const tokens = batch.inputs.length;
  const hf = openHfModel(createPass(shape, batch, threads), options.hf);
  const megatron = openMegatronModel(createPass(shape, batch, threads), options.megatron);
  try {
    const hfHidden = await hf.embed();
    const megatronHidden = await megatron.embed();
    const layers: { layer: number; relativeL2: number }[] = [];
    for (let layer = 0; layer < shape.layers; layer++) {
      await hf.runLayer(layer, hfHidden);
      await megatron.runLayer(layer, megatronHidden);
      const relativeL2 = relativeDistance(hfHidden, megatronHidden);
      layers.push({ layer, relativeL2 });
      options.onLayer?.(layer, relativeL2);
    }
    return {
      layers,
      maxLayerRelativeL2: Math.max(...layers.map(({ relativeL2 }) => relativeL2)),
      hf: { loss: await hf.loss(hfHidden), tokens },
      megatron: { loss: await megatron.loss(megatronHidden), tokens },
    };
  } finally {
    await hf.close();
    await megatron.close();
  }
}

function relativeDistance(values: Float32Array, reference: Float32Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < values.length; i++) {
    difference += ((values[i] as number) - (reference[i] as number)) ** 2;
    size += (reference[i] as number) ** 2;
  }
  return Math.sqrt(difference / size);
}

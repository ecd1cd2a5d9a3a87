import { elementCount, InvalidInputError, type Shape, UnsupportedError } from '@pai-cpt/core';
import { createAdamW } from './adamw.ts';
import { type StackedParameter, stackedParameters } from './graphs/stacked-parameters.ts';
import { trainStepGraph } from './graphs/train-step.ts';
import type { ModelShape } from './model-shape.ts';
import { createNormal, createRandom } from './random.ts';
import { float32Tensor, int32Tensor, openSession, type Session, type Tensor } from './session.ts';
import { toTokenBatch } from './token-batch.ts';

export interface TrainerOptions {
  readonly shape: ModelShape;
  /** Sequences per call of `gradients`. */
  readonly microBatchSize: number;
  readonly sequenceLength: number;
  readonly seed?: number;
  /** Decoupled weight decay of matrices; norms and biases are never decayed. */
  readonly weightDecay?: number;
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
  readonly clipGrad?: number;
  /** Standard deviation of the initial matrices. */
  readonly initStd?: number;
  readonly threads?: number;
}

export interface Trainer {
  /** By Hugging Face name, in the order of the flat gradients. Writes to `data` change the model. */
  readonly parameters: ReadonlyMap<string, { readonly shape: Shape; readonly data: Float32Array }>;
  readonly parameterCount: number;
  /**
   * Mean next-token loss over the batch and its gradient by every parameter, all in one array: the parameters follow each other
   * in the order of `parameters`, each row-major. Being means, gradients of replicas and of micro batches are averaged, not
   * summed. The array is the caller's own.
   * @param ids `[B, S + 1]` row-major, below `vocabSize`.
   */
  gradients(ids: Int32Array): Promise<{ loss: number; gradients: Float32Array }>;
  /**
   * One AdamW update from the gradients that all replicas agreed on. `gradNorm` is their L2 norm before clipping; when it
   * is not finite nothing is updated.
   */
  apply(gradients: Float32Array, learningRate: number): { gradNorm: number };
  /** Mean next-token loss of a batch, without gradients. */
  evaluate(ids: Int32Array): Promise<number>;
  close(): Promise<void>;
}

/**
 * A model with freshly drawn parameters and its optimizer, in one thread by default. Initial values are Megatron's: matrices
 * normal with `initStd`, those that write to the residual stream (o_proj, down_proj) divided by √(2 · layers), norms 1,
 * biases 0.
 * @throws UnsupportedError `CPT_UNSUPPORTED_RUN` for norms of query and key heads.
 */
export async function createTrainer(options: TrainerOptions): Promise<Trainer> {
  const { shape, microBatchSize, sequenceLength, weightDecay = 0.1, threads = 1 } = options;
  if (shape.hasQkNorm) {
    const feature = 'training with norms of query and key heads';
    throw new UnsupportedError('CPT_UNSUPPORTED_RUN', `${feature} is not built; train a Qwen2-style model`, {
      feature,
    });
  }
  const stacks = stackedParameters(shape);
  const parameterCount = stacks.at(-1)?.to ?? 0;
  const flat = new Float32Array(parameterCount);
  const parameters = parameterViews(stacks, flat);
  initialize(parameters, shape, options.seed ?? 1234, options.initStd ?? 0.02);
  const optimizer = createAdamW(parameterCount, {
    segments: stacks.map(({ from, to, shape: { length } }) => ({
      from,
      to,
      weightDecay: length > 1 ? weightDecay : 0,
    })),
    betas: options.betas ?? [0.9, 0.95],
    epsilon: options.epsilon ?? 1e-8,
    clipGrad: options.clipGrad ?? 1,
  });

  const open = (withGradients: boolean) =>
    openSession(trainStepGraph({ shape, batchSize: microBatchSize, sequenceLength, withGradients }), { threads });
  const trainSession = await open(true);
  let evaluationSession: Promise<Session> | undefined;
  const parameterFeeds = stackTensors(stacks, flat, '');
  const feeds = (ids: Int32Array) => ({ ...parameterFeeds, ...batchFeeds(ids, shape, microBatchSize, sequenceLength) });
  return {
    parameters,
    parameterCount,
    async gradients(ids) {
      const gradients = new Float32Array(parameterCount);
      const loss = new Float32Array(1);
      await trainSession.run(feeds(ids), {
        ...stackTensors(stacks, gradients, 'gradient.'),
        loss: float32Tensor(loss, []),
      });
      return { loss: loss[0] as number, gradients };
    },
    apply(gradients, rate) {
      if (gradients.length !== parameterCount) {
        throw new InvalidInputError(
          'CPT_INPUT_INVALID',
          `${gradients.length} gradients for ${parameterCount} parameters; pass the array that gradients() gave`,
        );
      }
      return { gradNorm: optimizer.update(flat, gradients, rate) };
    },
    async evaluate(ids) {
      const batch = feeds(ids);
      evaluationSession ??= open(false);
      const loss = new Float32Array(1);
      await (await evaluationSession).run(batch, { loss: float32Tensor(loss, []) });
      return loss[0] as number;
    },
    async close() {
      await trainSession.close();
      await (await evaluationSession)?.close();
    },
  };
}

/** Views on a flat array, one per parameter. */
function parameterViews(stacks: readonly StackedParameter[], flat: Float32Array) {
  const views = new Map<string, { shape: Shape; data: Float32Array }>();
  let from = 0;
  for (const { name, shape } of stacks.flatMap(({ members }) => members)) {
    const to = from + elementCount(shape);
    views.set(name, { shape, data: flat.subarray(from, to) });
    from = to;
  }
  return views;
}

/** Tensors on a flat array, one per stack. */
function stackTensors(stacks: readonly StackedParameter[], flat: Float32Array, prefix: string): Record<string, Tensor> {
  return Object.fromEntries(
    stacks.map(({ name, shape, from, to }) => [prefix + name, float32Tensor(flat.subarray(from, to), shape)]),
  );
}

function initialize(parameters: Trainer['parameters'], shape: ModelShape, seed: number, std: number): void {
  const normal = createNormal(createRandom(seed));
  for (const [name, parameter] of parameters) {
    if (parameter.shape.length === 1) {
      parameter.data.fill(name.endsWith('norm.weight') ? 1 : 0);
      continue;
    }
    const writesResidual = name.endsWith('o_proj.weight') || name.endsWith('down_proj.weight');
    const scale = writesResidual ? std / Math.sqrt(2 * shape.layers) : std;
    for (let i = 0; i < parameter.data.length; i++) parameter.data[i] = scale * normal();
  }
}

/** Tensors of a batch's inputs and of the token after each. */
function batchFeeds(ids: Int32Array, shape: ModelShape, batchSize: number, length: number) {
  const expected = batchSize * (length + 1);
  if (ids.length !== expected) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${ids.length} ids; a batch is ${batchSize} sequences of ${length} + 1 ids, ${expected} in all`,
    );
  }
  const rows = Array.from({ length: batchSize }, (_, row) =>
    ids.subarray(row * (length + 1), (row + 1) * (length + 1)),
  );
  const { inputs, targets } = toTokenBatch(rows, shape.vocabSize);
  return { inputs: int32Tensor(inputs, [inputs.length]), targets: int32Tensor(targets, [targets.length]) };
}

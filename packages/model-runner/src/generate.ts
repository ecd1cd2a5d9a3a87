import { InvalidInputError } from '@pai-cpt/core';
import { cacheNames, decoderGraph } from './graphs/decoder.ts';
import { type ModelShape, modelParameters } from './model-shape.ts';
import { createRandom } from './random.ts';
import { rotaryTables } from './rotary.ts';
import { logSoftmax, sampleToken } from './sampling.ts';
import { float32Data, float32Tensor, int32Tensor, openSession, type Session, type Tensor } from './session.ts';
import { checkTokens } from './token-batch.ts';
import { readFloat32Weight, type WeightSource } from './weights.ts';

export interface GeneratorOptions {
  readonly shape: ModelShape;
  readonly weights: WeightSource;
  /** Threads of one operator. */
  readonly threads?: number;
}

export interface GenerateOptions {
  readonly maxTokens: number;
  /** 0, the default, is greedy. */
  readonly temperature?: number;
  readonly topP?: number;
  /** The same seed draws the same tokens. */
  readonly seed?: number;
  /** Tokens that end the text; they are not given out themselves. */
  readonly stopTokens?: readonly number[];
  readonly signal?: AbortSignal;
}

export interface GeneratedToken {
  readonly token: number;
  /** Natural logarithm of the model's probability of the token, before temperature and top-p. */
  readonly logprob: number;
}

export interface Generator {
  /**
   * Continues a prompt token by token; several calls may run at once. Fewer than `maxTokens` tokens mean that a stop token came.
   * @throws InvalidInputError `CPT_INPUT_INVALID` for an empty prompt or a token outside the vocabulary.
   */
  generate(promptIds: Int32Array, options: GenerateOptions): AsyncGenerator<GeneratedToken, void, void>;
  /**
   * The natural logarithm of the model's probability of each token after those before it; the first has none before it, so there is
   * one less than there are tokens.
   * @throws as `generate` does.
   */
  score(ids: Int32Array, options?: { readonly signal?: AbortSignal }): Promise<Float64Array>;
  close(): Promise<void>;
}

/**
 * A model whole in memory, in float32, ready to generate. Each token's run blocks this thread's event loop; a server opens the
 * generator in a worker.
 */
export async function openGenerator(options: GeneratorOptions): Promise<Generator> {
  const { shape, weights, threads = 1 } = options;
  const parameters: Record<string, Tensor> = {};
  for (const { name, shape: size } of modelParameters(shape)) {
    parameters[name] = await readFloat32Weight(weights, name, size);
  }
  const session = await openSession(decoderGraph(shape), { threads });
  return {
    generate: (promptIds, generateOptions) => generate(shape, session, parameters, promptIds, generateOptions),
    score: (ids, { signal } = {}) => score(shape, session, parameters, ids, signal),
    close: () => session.close(),
  };
}

/** Token by token: the graph gives the logits after its last one only. */
async function score(
  shape: ModelShape,
  session: Session,
  parameters: Record<string, Tensor>,
  ids: Int32Array,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  requireTokens(ids, shape);
  const context = createContext(shape, session, parameters);
  const logprobs = new Float64Array(ids.length - 1);
  for (let at = 0; at < logprobs.length; at++) {
    signal?.throwIfAborted();
    logprobs[at] = logSoftmax(await context.append(ids.slice(at, at + 1)))[ids[at + 1] as number] as number;
  }
  return logprobs;
}

function requireTokens(ids: Int32Array, shape: ModelShape): void {
  if (ids.length === 0) {
    throw new InvalidInputError('CPT_INPUT_INVALID', 'the prompt is empty; give one token or more');
  }
  checkTokens(ids, shape.vocabSize);
}

async function* generate(
  shape: ModelShape,
  session: Session,
  parameters: Record<string, Tensor>,
  promptIds: Int32Array,
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken, void, void> {
  const { maxTokens, signal, temperature = 0, topP = 1 } = options;
  requireTokens(promptIds, shape);
  const stopTokens = new Set(options.stopTokens);
  const random = createRandom(options.seed ?? 0);
  const context = createContext(shape, session, parameters);
  let ids = promptIds;
  for (let count = 0; count < maxTokens; count++) {
    signal?.throwIfAborted();
    const logprobs = logSoftmax(await context.append(ids));
    signal?.throwIfAborted();
    const token = sampleToken(logprobs, { temperature, topP }, random);
    if (stopTokens.has(token)) return;
    yield { token, logprob: logprobs[token] as number };
    ids = Int32Array.of(token);
  }
}

/** One sequence and the keys and values of its positions so far. */
function createContext(shape: ModelShape, session: Session, parameters: Record<string, Tensor>) {
  const { layers, queryGroups, headDim } = shape;
  const names = Array.from({ length: layers }, (_, layer) => cacheNames(layer));
  const links = names.flatMap(({ past, present }) => [
    { from: present.keys, to: past.keys },
    { from: present.values, to: past.values },
  ]);
  const fetches = ['logits', ...links.map(({ from }) => from)];
  let position = 0;
  let cache: Record<string, Tensor> = {};
  for (const { to } of links) cache[to] = float32Tensor(new Float32Array(0), [1, queryGroups, 0, headDim]);
  return {
    /** Adds tokens; the logits of the one after them. */
    async append(ids: Int32Array): Promise<Float32Array> {
      const { cos, sin } = rotaryTables(shape, position, ids.length);
      const size = [1, ids.length, headDim / 2];
      const feeds = {
        ids: int32Tensor(ids, [ids.length]),
        cos: float32Tensor(cos, size),
        sin: float32Tensor(sin, size),
      };
      const result = await session.run({ ...parameters, ...cache, ...feeds }, fetches);
      cache = Object.fromEntries(links.map(({ from, to }) => [to, result[from] as Tensor]));
      position += ids.length;
      return float32Data(result.logits);
    },
  };
}

import { randomInt } from 'node:crypto';
import type { CompletionRequest } from './completion-request.ts';
import { badRequest } from './openai-error.ts';
import type { ServedModel } from './served-model.ts';
import { createTextStream } from './text-stream.ts';

/** A request whose prompt is known to fit. */
export interface PreparedCompletion {
  readonly request: CompletionRequest;
  readonly promptIds: Int32Array;
  readonly maxTokens: number;
}

/** A stretch of an answer. */
export interface CompletionPiece {
  readonly text: string;
  /** The tokens generated since the piece before; their text may come in a later piece. */
  readonly tokens: readonly GeneratedToken[];
  /** Present in the last piece only. */
  readonly finishReason?: 'stop' | 'length';
}

export interface GeneratedToken {
  /** The token decoded by itself. */
  readonly text: string;
  readonly logprob: number;
}

/**
 * The request with the ids of its prompt and the number of tokens it may generate.
 * @throws OpenAiError 400 when an id is unknown or the context is too short.
 */
export async function prepareCompletion(model: ServedModel, request: CompletionRequest): Promise<PreparedCompletion> {
  const { prompt } = request;
  const promptIds = typeof prompt === 'string' ? await model.encode(prompt) : Int32Array.from(prompt);
  const unknown = typeof prompt === 'string' ? undefined : prompt.find((id) => id < 0 || id >= model.vocabSize);
  if (unknown !== undefined) {
    throw badRequest(`Token id ${unknown} is out of vocabulary; ids are below ${model.vocabSize}`, 'prompt');
  }
  const room = model.maxModelLength - promptIds.length;
  if (request.isScoring && room >= 0) return { request, promptIds, maxTokens: 0 };
  const maxTokens = request.maxTokens ?? room;
  if (maxTokens >= 1 && maxTokens <= room) return { request, promptIds, maxTokens };
  const asked = `${promptIds.length} in the prompt, ${request.maxTokens ?? 'at least 1'} in the completion`;
  throw badRequest(
    `This model's maximum context length is ${model.maxModelLength} tokens. However, you requested more (${asked}). Please reduce the length of the prompt or the completion.`,
    promptIds.length >= model.maxModelLength ? 'prompt' : 'max_tokens',
  );
}

/** The tokens of the prompt with their log-probabilities; the first has none before it. */
export async function scorePrompt(
  model: ServedModel,
  { promptIds }: PreparedCompletion,
  signal: AbortSignal,
): Promise<readonly { readonly text: string; readonly logprob: number | null }[]> {
  const scores = await model.score(promptIds, { signal });
  const texts = await Promise.all([...promptIds].map((id) => model.decode([id])));
  return texts.map((text, at) => ({ text, logprob: at === 0 ? null : (scores[at - 1] as number) }));
}

/** The answer as it is generated. The last piece, and no other, has a `finishReason`. */
export async function* complete(
  model: ServedModel,
  { request, promptIds, maxTokens }: PreparedCompletion,
  signal: AbortSignal,
): AsyncGenerator<CompletionPiece, void> {
  const { temperature, topP, stop } = request;
  const stream = createTextStream(model.decode, stop);
  const seed = request.seed ?? randomInt(2 ** 31);
  let generated = 0;
  for await (const { token, logprob } of model.generate(promptIds, { maxTokens, temperature, topP, seed, signal })) {
    generated++;
    const tokens = [{ text: await model.decode([token]), logprob }];
    const step = await stream.push(token);
    if (step.isStopped) return yield { text: step.text, tokens, finishReason: 'stop' };
    yield { text: step.text, tokens };
  }
  yield { text: stream.finish(), tokens: [], finishReason: generated < maxTokens ? 'stop' : 'length' };
}

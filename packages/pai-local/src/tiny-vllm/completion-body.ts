import { randomUUID } from 'node:crypto';
import type { CompletionPiece, GeneratedToken, PreparedCompletion } from './completion.ts';

/** What is equal in all bodies of one answer. */
export interface CompletionIdentity {
  readonly id: string;
  readonly object: 'text_completion';
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

export function createIdentity(model: string): CompletionIdentity {
  return { id: `cmpl-${randomUUID()}`, object: 'text_completion', created: Math.floor(Date.now() / 1000), model };
}

/** The body of an answer that is not streamed. */
export async function completionBody(
  identity: CompletionIdentity,
  prepared: PreparedCompletion,
  pieces: AsyncIterable<CompletionPiece>,
) {
  let text = '';
  let finishReason: CompletionPiece['finishReason'];
  const tokens: GeneratedToken[] = [];
  for await (const piece of pieces) {
    text += piece.text;
    tokens.push(...piece.tokens);
    finishReason = piece.finishReason;
  }
  const logprobs = prepared.request.hasLogprobs ? logprobsOf(tokens, 0) : null;
  return {
    ...identity,
    choices: [choice(text, logprobs, finishReason)],
    usage: usage(prepared, tokens.length),
  };
}

/** The body of an answer that gives the prompt back. */
export function scoreBody(identity: CompletionIdentity, prepared: PreparedCompletion, tokens: readonly ScoredToken[]) {
  const logprobs = prepared.request.hasLogprobs ? logprobsOf(tokens, 0) : null;
  const text = tokens.map((token) => token.text).join('');
  return { ...identity, choices: [choice(text, logprobs, 'length')], usage: usage(prepared, 0) };
}

/** The same answer as the events of a stream: `data:` lines of JSON, `[DONE]` at the end. */
export async function* completionEvents(
  identity: CompletionIdentity,
  prepared: PreparedCompletion,
  pieces: AsyncIterable<CompletionPiece>,
): AsyncGenerator<string, void> {
  const { hasLogprobs, hasStreamUsage } = prepared.request;
  let completionTokens = 0;
  let textOffset = 0;
  for await (const piece of pieces) {
    completionTokens += piece.tokens.length;
    const isSilent = piece.text === '' && piece.finishReason === undefined && !hasLogprobs;
    if (isSilent) continue;
    const logprobs = hasLogprobs ? logprobsOf(piece.tokens, textOffset) : null;
    textOffset += piece.tokens.reduce((sum, token) => sum + token.text.length, 0);
    yield event({ ...identity, choices: [choice(piece.text, logprobs, piece.finishReason)] });
  }
  if (hasStreamUsage) yield event({ ...identity, choices: [], usage: usage(prepared, completionTokens) });
  yield 'data: [DONE]\n\n';
}

/** One event of a stream. */
export function event(body: object): string {
  return `data: ${JSON.stringify(body)}\n\n`;
}

type ScoredToken = { readonly text: string; readonly logprob: number | null };
type Logprobs = ReturnType<typeof logprobsOf>;

function choice(text: string, logprobs: Logprobs | null, finishReason: CompletionPiece['finishReason']) {
  return { index: 0, text, logprobs, finish_reason: finishReason ?? null };
}

function logprobsOf(tokens: readonly ScoredToken[], firstOffset: number) {
  let offset = firstOffset;
  return {
    tokens: tokens.map((token) => token.text),
    token_logprobs: tokens.map((token) => token.logprob),
    top_logprobs: tokens.map((token) => (token.logprob === null ? null : { [token.text]: token.logprob })),
    text_offset: tokens.map((token) => {
      const at = offset;
      offset += token.text.length;
      return at;
    }),
  };
}

export function usage({ promptIds }: PreparedCompletion, completionTokens: number) {
  return {
    prompt_tokens: promptIds.length,
    completion_tokens: completionTokens,
    total_tokens: promptIds.length + completionTokens,
  };
}

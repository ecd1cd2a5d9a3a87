import { randomUUID } from 'node:crypto';
import type { CompletionPiece, PreparedCompletion } from './completion.ts';
import { event, usage } from './completion-body.ts';
import { badRequest } from './openai-error.ts';

const ROLES = ['system', 'user', 'assistant'];
const END = '<|im_end|>';
/** Of a continued pre-training none of these has a meaning, so that a client must not believe they had. */
const NOT_COMPUTED = ['tools', 'tool_choice', 'functions', 'response_format', 'top_logprobs'];

/** What is equal in all bodies of one answer; a chunk of a stream has another `object`. */
export interface ChatIdentity {
  readonly id: string;
  readonly object: 'chat.completion';
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

export function createChatIdentity(model: string): ChatIdentity {
  return { id: `chatcmpl-${randomUUID()}`, object: 'chat.completion', created: Math.floor(Date.now() / 1000), model };
}

/**
 * The body of a chat as that of a completion: its messages in ChatML, the template of Qwen2, with the beginning of the answer after
 * them. Without a system message there is none; Qwen2's own template would put in "You are a helpful assistant.".
 * @throws OpenAiError 400 with the field in `param`.
 */
export function toCompletionFields(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badRequest('The body must be a JSON object', 'body');
  }
  const { messages, max_completion_tokens: limit, stop, logprobs, ...fields } = body as Record<string, unknown>;
  const foreign = NOT_COMPUTED.find((name) => fields[name] !== undefined && fields[name] !== null);
  if (foreign !== undefined) throw badRequest(`${foreign} is not known to this server; leave it out`, foreign);
  if (logprobs) throw badRequest('logprobs is true; this server gives them for /v1/completions only', 'logprobs');
  const prompt = `${toChatMl(messages)}<|im_start|>assistant\n`;
  const stops = stop === undefined || stop === null ? [] : [stop].flat();
  // A chat that names no limit goes on to the end of the context, as in vLLM.
  return { ...fields, max_tokens: limit ?? fields.max_tokens ?? null, prompt, stop: [...stops, END], echo: false };
}

function toChatMl(messages: unknown): string {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw badRequest('messages must be a list of at least one message', 'messages');
  }
  const parts = messages.map((message: unknown, at) => {
    const { role, content } = (message ?? {}) as { role?: unknown; content?: unknown };
    if (!ROLES.includes(role as string) || typeof content !== 'string') {
      throw badRequest(`messages[${at}] must have a role (${ROLES.join(', ')}) and a text as content`, 'messages');
    }
    return `<|im_start|>${role}\n${content}${END}\n`;
  });
  return parts.join('');
}

/** The body of an answer that is not streamed. */
export async function chatBody(
  identity: ChatIdentity,
  prepared: PreparedCompletion,
  pieces: AsyncIterable<CompletionPiece>,
) {
  let content = '';
  let tokens = 0;
  let finishReason: CompletionPiece['finishReason'];
  for await (const piece of pieces) {
    content += piece.text;
    tokens += piece.tokens.length;
    finishReason = piece.finishReason;
  }
  const message = { role: 'assistant', content };
  const choice = { index: 0, message, logprobs: null, finish_reason: finishReason ?? null };
  return { ...identity, choices: [choice], usage: usage(prepared, tokens) };
}

/** The same answer as the events of a stream; the first names the role. */
export async function* chatEvents(
  identity: ChatIdentity,
  prepared: PreparedCompletion,
  pieces: AsyncIterable<CompletionPiece>,
): AsyncGenerator<string, void> {
  const chunk = { ...identity, object: 'chat.completion.chunk' };
  const send = (delta: object, reason: string | undefined) =>
    event({ ...chunk, choices: [{ index: 0, delta, logprobs: null, finish_reason: reason ?? null }] });
  yield send({ role: 'assistant', content: '' }, undefined);
  let tokens = 0;
  for await (const piece of pieces) {
    tokens += piece.tokens.length;
    if (piece.text === '' && piece.finishReason === undefined) continue;
    yield send(piece.text === '' ? {} : { content: piece.text }, piece.finishReason);
  }
  if (prepared.request.hasStreamUsage) yield event({ ...chunk, choices: [], usage: usage(prepared, tokens) });
  yield 'data: [DONE]\n\n';
}

import { Readable } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { chatBody, chatEvents, createChatIdentity, toCompletionFields } from './chat.ts';
import { complete, prepareCompletion, scorePrompt } from './completion.ts';
import { completionBody, completionEvents, createIdentity, event, scoreBody } from './completion-body.ts';
import { parseCompletionRequest } from './completion-request.ts';
import { errorBody, notFound, OpenAiError } from './openai-error.ts';
import type { ServedModel } from './served-model.ts';

const MAX_BODY_BYTES = 1 << 20;

/** The routes of an OpenAI-compatible server for one model, not listening yet. */
export function buildServer(model: ServedModel): FastifyInstance {
  const server = fastify({ bodyLimit: MAX_BODY_BYTES, forceCloseConnections: true });
  const created = Math.floor(Date.now() / 1000);

  server.setErrorHandler((error, _request, reply) => sendError(reply, error));
  server.setNotFoundHandler((request, reply) =>
    sendError(reply, notFound(`${request.method} ${request.url} does not exist on this server`)),
  );

  server.get('/health', async (_request, reply) => reply.code(200).send());
  server.get('/v1/models', async () => ({ object: 'list', data: [modelCard(model, created)] }));
  server.get<{ Params: { name: string } }>('/v1/models/:name', async (request) => {
    const { name } = request.params;
    if (name !== model.name) throw notFound(`The model \`${name}\` does not exist.`, 'model');
    return modelCard(model, created);
  });
  server.post('/v1/completions', async (request, reply) => answer(model, request, reply));
  server.post('/v1/chat/completions', async (request, reply) => answerChat(model, request, reply));
  return server;
}

async function answer(model: ServedModel, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const prepared = await prepareCompletion(model, parseCompletionRequest(request.body, model.name));
  const identity = createIdentity(model.name);
  const gone = untilGone(reply);
  if (prepared.request.isScoring) return scoreBody(identity, prepared, await scorePrompt(model, prepared, gone));
  const pieces = complete(model, prepared, gone);
  if (!prepared.request.isStream) return completionBody(identity, prepared, pieces);
  return sendEvents(reply, completionEvents(identity, prepared, pieces), gone);
}

async function answerChat(model: ServedModel, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const fields = toCompletionFields(request.body);
  const prepared = await prepareCompletion(model, parseCompletionRequest(fields, model.name));
  const identity = createChatIdentity(model.name);
  const gone = untilGone(reply);
  const pieces = complete(model, prepared, gone);
  if (!prepared.request.isStream) return chatBody(identity, prepared, pieces);
  return sendEvents(reply, chatEvents(identity, prepared, pieces), gone);
}

function untilGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.on('close', () => gone.abort());
  return gone.signal;
}

function sendEvents(reply: FastifyReply, events: AsyncIterable<string>, gone: AbortSignal): FastifyReply {
  reply.header('content-type', 'text/event-stream; charset=utf-8').header('cache-control', 'no-cache');
  return reply.send(Readable.from(withErrorEvent(events, gone)));
}

/** A stream has sent its status already; a failure in the middle becomes its last event. */
async function* withErrorEvent(events: AsyncIterable<string>, signal: AbortSignal): AsyncGenerator<string, void> {
  try {
    yield* events;
  } catch (error) {
    if (!signal.aborted) yield event(errorBody(asOpenAiError(error)));
  }
}

function modelCard(model: ServedModel, created: number) {
  return {
    id: model.name,
    object: 'model',
    created,
    owned_by: 'tiny-vllm',
    root: model.root,
    parent: null,
    max_model_len: model.maxModelLength,
  };
}

function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  const known = asOpenAiError(error);
  return reply.code(known.status).send(errorBody(known));
}

/** Refusals of the HTTP layer (not JSON, too large) in the same shape; anything else is ours to answer for. */
function asOpenAiError(error: unknown): OpenAiError {
  if (error instanceof OpenAiError) return error;
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  if (statusCode !== undefined && statusCode < 500) {
    return new OpenAiError(statusCode, 'BadRequestError', message ?? 'bad request', 'body');
  }
  return new OpenAiError(500, 'InternalServerError', message ?? String(error));
}

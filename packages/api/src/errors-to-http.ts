import { CptError, ERRORS, InvalidInputError } from '@pai-cpt/core';
import { ProblemSchema, type Problem as SdkProblem } from '@pai-cpt/sdk';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { asLostDatabase } from './db/database.ts';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** What every answer but a success is (RFC 9457). */
export const Problem = {
  ...Type.Object(
    {
      ...ProblemSchema.properties,
      request_id: Type.String({ description: 'Also in the header X-Request-Id and in the log of the service.' }),
    },
    { title: 'Problem' },
  ),
  $id: 'Problem',
};
export type ProblemBody = SdkProblem & { request_id: string };

/** Makes every error of `server` a problem, that of an unknown path included. */
export function installErrorHandlers(server: FastifyInstance): void {
  server.setErrorHandler(answerError);
  server.setNotFoundHandler((request, reply) => {
    const detail = `there is no ${request.method} ${request.url.split('?')[0]}; GET /openapi.json lists what there is`;
    return sendProblem(new InvalidInputError('CPT_INPUT_NOT_FOUND', detail), request, reply);
  });
}

/** The answer to whatever was thrown; what is not the caller's doing is logged. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toCptError(error);
  if (known.httpStatus >= 500) request.log.error({ err: error }, known.message);
  return sendProblem(known, request, reply);
}

function sendProblem(error: CptError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error, request.id);
  const { retryAfterMs = 1000 } = error.details;
  if (problem.retryable) reply.header('retry-after', String(Math.ceil(Number(retryAfterMs) / 1000)));
  return reply.code(problem.status).header('x-request-id', request.id).type(PROBLEM_MEDIA_TYPE).send(problem);
}

/** The answer for an error of ours. */
export function toProblem(error: CptError, requestId: string): ProblemBody {
  const errors = error.details.errors as { pointer: string; message: string }[] | undefined;
  return {
    type: `/errors/${error.code}`,
    title: ERRORS[error.code].meaning,
    status: error.httpStatus,
    detail: error.message,
    code: error.code,
    retryable: error.isRetryable,
    ...(errors && { errors: errors.map(({ pointer, message }) => ({ pointer, message })) }),
    request_id: requestId,
  };
}

/** Any error as one with a code. What was not thrown on purpose says nothing outwards; the log has it. */
export function toCptError(error: unknown): CptError {
  if (CptError.isInstance(error)) return error;
  const lost = asLostDatabase(error);
  if (lost) return lost;
  const { code, statusCode = 500, message } = error as Partial<FastifyError>;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new InvalidInputError('CPT_INPUT_BODY_TOO_LARGE', 'the body is larger than 1 MiB; send a smaller one');
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new InvalidInputError('CPT_INPUT_MEDIA_TYPE', 'send JSON with "Content-Type: application/json"');
  }
  if (statusCode >= 400 && statusCode < 500) {
    return new InvalidInputError('CPT_INPUT_INVALID', message ?? 'the request cannot be read');
  }
  return new CptError('CPT_SERVICE_INTERNAL', 'the service failed; look for the request id in its log');
}

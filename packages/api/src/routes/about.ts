import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ERRORS, type ErrorCode, InvalidInputError } from '@pai-cpt/core';
import { Type } from 'typebox';
import type { Repositories } from '../db/repositories.ts';
import { json, problems } from '../openapi.ts';

const Health = Type.Object({ status: Type.Literal('ok') });
const ErrorMeaning = Type.Object({
  code: Type.String(),
  status: Type.Integer(),
  retryable: Type.Boolean(),
  meaning: Type.String(),
});

/** Whether the service works, and what its problems mean. */
export function aboutRoutes(repositories: Repositories): FastifyPluginAsyncTypebox {
  return async (server) => {
    server.get(
      '/healthz',
      {
        config: { isPublic: true },
        schema: {
          operationId: 'getHealth',
          summary: 'Whether the service and its database answer; needs no token',
          tags: ['about'],
          security: [],
          response: { 200: json('They do.', Health), ...problems(503) },
        },
      },
      async () => {
        await repositories.ping();
        return { status: 'ok' as const };
      },
    );

    server.get(
      '/errors/:code',
      {
        schema: {
          operationId: 'getErrorMeaning',
          summary: 'What a problem type means',
          tags: ['about'],
          params: Type.Object({ code: Type.String() }),
          response: { 200: json('The code.', ErrorMeaning), ...problems(401, 403, 404) },
        },
      },
      async ({ params: { code } }) => {
        if (!Object.hasOwn(ERRORS, code)) {
          throw new InvalidInputError('CPT_INPUT_NOT_FOUND', `there is no error code ${code}`);
        }
        const { httpStatus, retryable, meaning } = ERRORS[code as ErrorCode];
        return { code, status: httpStatus, retryable, meaning };
      },
    );
  };
}

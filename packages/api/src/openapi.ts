import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { PROBLEM_MEDIA_TYPE, type ProblemBody } from './errors-to-http.ts';

/**
 * A reference to a schema that was added to the server under its `$id`, so that it is one named component of the OpenAPI
 * document. `Type.Ref` will not do: it refers to schemas of the same TypeBox module.
 */
export function ref<T>(id: string) {
  return Type.Unsafe<T>({ $ref: `${id}#` });
}

/** One answer of a route, as JSON. */
export function json(description: string, schema: TSchema, headers?: Readonly<Record<string, TSchema>>) {
  return { description, ...(headers && { headers }), content: { 'application/json': { schema } } };
}

const PROBLEM_DESCRIPTIONS: Readonly<Record<number, string>> = {
  400: 'The request is wrong; `errors` names the fields.',
  401: 'The bearer token is missing or wrong.',
  403: 'PAI does not allow it, or the caller is a page of another origin.',
  404: 'There is no such thing.',
  409: 'The same key is being worked on, or what became of it is unknown.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  422: 'PAI refused the request, or the key belongs to another request.',
  429: 'PAI limits the rate of calls; wait as long as `Retry-After` says.',
  500: 'The service has a defect.',
  502: 'PAI cannot be reached, or failed.',
  503: 'The database cannot be reached.',
  504: 'PAI did not answer in time.',
};

/** Problem answers of a route, by status; a defect is possible everywhere. */
export function problems(...statuses: number[]) {
  const answer = (status: number) => ({
    description: PROBLEM_DESCRIPTIONS[status] ?? 'A problem.',
    content: { [PROBLEM_MEDIA_TYPE]: { schema: ref<ProblemBody>('Problem') } },
  });
  return Object.fromEntries([...statuses, 500].map((status) => [status, answer(status)]));
}

/** Serves the document at `/openapi.json` and a page over it at `/docs`. Call it before the routes are added. */
export async function installOpenApi(server: FastifyInstance, version: string): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Continued pre-training on PAI',
        description: 'Plans, jobs and services of continued pre-training on Alibaba Cloud PAI.',
        version,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'jobs', description: 'Training jobs.' },
        { name: 'plans', description: 'What a run will do and need, before it costs anything.' },
        { name: 'services', description: 'Services that serve converted checkpoints.' },
        { name: 'about', description: 'The service itself.' },
      ],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'The value of CPT_API_TOKEN, where it is set.' },
        },
      },
      // The second alternative is empty: a service on loopback may have no token.
      security: [{ bearer: [] }, {}],
    },
    refResolver: { buildLocalReference: (schema, _base, _fragment, index) => String(schema.$id ?? `schema-${index}`) },
  });
  await server.register(swaggerUi, { routePrefix: '/docs' });
  server.get('/openapi.json', { schema: { hide: true } }, async () => server.swagger());
}

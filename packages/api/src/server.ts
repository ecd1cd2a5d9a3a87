import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { CptRunSpecSchema, JobSchema, PlanFactsSchema, PlanSchema, ServiceSchema } from '@pai-cpt/sdk';
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { requireLoopback, requireToken } from './auth.ts';
import type { ApiClient } from './client.ts';
import type { Repositories } from './db/repositories.ts';
import { answerError, installErrorHandlers, Problem } from './errors-to-http.ts';
import { installOpenApi } from './openapi.ts';
import { parametersOnly } from './request-validation.ts';
import { aboutRoutes } from './routes/about.ts';
import { JobPage, jobRoutes } from './routes/jobs.ts';
import { PlanRequest, planRoutes } from './routes/plans.ts';
import { ServicePage, serviceRoutes } from './routes/services.ts';

/** What the service works with; everything that reaches out of the process comes from here. */
export interface ServerOptions {
  readonly client: ApiClient;
  readonly repositories: Repositories;
  /** Without one, only callers on this machine are answered. */
  readonly token?: string | undefined;
  readonly logger?: FastifyServerOptions['logger'];
}

/** The service, ready to `listen` or `inject`; it opens no port and no connection by itself. */
export async function buildServer({
  client,
  repositories,
  token,
  logger = false,
}: ServerOptions): Promise<FastifyInstance> {
  const server = Fastify({
    ...(logger !== undefined && { logger }),
    genReqId: () => randomUUID(),
    frameworkErrors: answerError, // a path that cannot be decoded, before there is a route
  }).withTypeProvider<TypeBoxTypeProvider>();

  const named = {
    CptRunSpec: CptRunSpecSchema,
    Job: JobSchema,
    Plan: PlanSchema,
    PlanFacts: PlanFactsSchema,
    Service: ServiceSchema,
  };
  for (const [$id, schema] of Object.entries(named)) server.addSchema({ ...schema, $id });
  for (const schema of [JobPage, PlanRequest, Problem, ServicePage]) server.addSchema(schema);
  server.setValidatorCompiler(parametersOnly);
  server.removeContentTypeParser('text/plain'); // bodies are JSON, and a text is what a form of a foreign page may send
  installErrorHandlers(server);
  server.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  server.addHook('onRequest', token === undefined ? requireLoopback : requireToken(token));
  await installOpenApi(server, await packageVersion());
  await server.register(aboutRoutes(repositories));
  await server.register(jobRoutes(client, repositories), { prefix: '/v1' });
  await server.register(planRoutes(client), { prefix: '/v1' });
  await server.register(serviceRoutes(client, repositories), { prefix: '/v1' });
  return server;
}

async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

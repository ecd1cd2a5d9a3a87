import { ERRORS } from '@pai-cpt/core';
import { ProblemSchema } from '@pai-cpt/sdk';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import { Value } from 'typebox/value';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { openRepositories, type Repositories } from '../src/db/repositories.ts';
import { buildServer } from '../src/server.ts';
import { type FakeClient, fakeClient } from './fake-client.ts';
import { createTestDatabase, postgresServers } from './test-database.ts';

/** One server for the tests of a file, without a port, over a fake PAI that is emptied before each test. */
export interface TestServer {
  readonly client: FakeClient;
  readonly repositories: Repositories;
  readonly databaseUrl: string;
  send(options: InjectOptions): Promise<LightMyRequestResponse>;
  get(url: string, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
  post(url: string, body?: unknown, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
}

/** Call it at the top of a test file. */
export function useTestServer(): TestServer {
  const client = fakeClient();
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  let repositories: Repositories;
  let server: FastifyInstance;

  beforeAll(async () => {
    database = await createTestDatabase(postgresServers()[0]?.url ?? '');
    repositories = await openRepositories(database.url);
    server = await buildServer({ client, repositories });
  });
  beforeEach(() => client.reset());
  afterAll(async () => {
    await server.close();
    await repositories.close();
    await database.drop();
  });

  const send = (options: InjectOptions) => server.inject(options);
  return {
    client,
    get repositories() {
      return repositories;
    },
    get databaseUrl() {
      return database.url;
    },
    send,
    get: (url, headers = {}) => send({ method: 'GET', url, headers }),
    post: (url, body, headers = {}) =>
      send({ method: 'POST', url, headers, ...(body !== undefined && { payload: body as object }) }),
  };
}

/** The problem of an answer, after the checks that hold for all problems. */
export async function problemOf(answer: Promise<LightMyRequestResponse>) {
  const response = await answer;
  const problem = response.json();
  expect(response.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(Value.Check(ProblemSchema, problem)).toBe(true);
  expect(problem.status).toBe(response.statusCode);
  expect(problem.title).toBe(ERRORS[problem.code as keyof typeof ERRORS].meaning);
  expect(problem.type).toBe(`/errors/${problem.code}`);
  expect(problem.request_id).toBe(response.headers['x-request-id']);
  return problem;
}

import { CptRunSpecSchema, JobSchema, PlanFactsSchema, PlanSchema, ServiceSchema } from '@pai-cpt/sdk';
import { Validator } from '@seriousme/openapi-schema-validator';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fakeClient } from '../test/fake-client.ts';
import type { Repositories } from './db/repositories.ts';
import { buildServer } from './server.ts';

interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  security?: unknown[];
  parameters?: { in: string; name: string; description?: string }[];
  requestBody?: { content: Record<string, { schema: { $ref: string } }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: { $ref?: string } }> }>;
}

let server: FastifyInstance;
let document: {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
};
beforeAll(async () => {
  server = await buildServer({ client: fakeClient(), repositories: {} as Repositories });
  document = (await server.inject('/openapi.json')).json();
});
afterAll(() => server.close());

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
  );

describe('/openapi.json', () => {
  it('is a valid OpenAPI 3.1 document', async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(
      structuredClone(document) as unknown as Parameters<Validator['validate']>[0],
    );
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(validator.version).toBe('3.1');
    expect(document.openapi).toBe('3.1.0');
  });

  it('describes every route, and nothing else', () => {
    const described = operations().map(({ name }) => name);
    expect(described).toHaveLength(10);
    expect(described.toSorted()).toEqual(routesOf(server).toSorted());
  });

  it('gives every operation a name, a success and its problems, each with a schema', () => {
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { name, operation } of operations()) {
      expect(operation.summary, name).toBeTruthy();
      expect(operation.tags, name).toHaveLength(1);
      const answers = Object.entries(operation.responses);
      const successes = answers.filter(([status]) => status.startsWith('2'));
      expect(successes, name).toHaveLength(1);
      for (const [status, { content }] of successes) {
        if (status === '204') expect(content, name).toBeUndefined();
        else expect(content?.['application/json']?.schema, name).toBeDefined();
      }
      const problems = answers.filter(([status]) => !status.startsWith('2'));
      for (const [status, { content }] of problems) {
        expect(content, `${name} ${status}`).toEqual({
          'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
        });
      }
      const isPublic = operation.security?.length === 0;
      expect(
        problems.map(([status]) => status),
        name,
      ).toEqual(expect.arrayContaining(isPublic ? ['500'] : ['401', '403', '500']));
    }
  });

  it('names the schemas of the SDK as components, unchanged', () => {
    // The generator writes a pattern that fits every name as additionalProperties, which says the same.
    const plain = (schema: unknown) =>
      JSON.parse(
        JSON.stringify(schema).replaceAll(
          /"patternProperties":\{"\^\.\*\$":(\{[^{}]*\})\}/g,
          '"additionalProperties":$1',
        ),
      );
    expect(document.components.schemas).toMatchObject({
      CptRunSpec: plain(CptRunSpecSchema),
      Job: plain(JobSchema),
      Plan: plain(PlanSchema),
      PlanFacts: plain(PlanFactsSchema),
      Service: plain(ServiceSchema),
    });
    const create = document.paths['/v1/jobs']?.post;
    const body = create?.requestBody?.content['application/json']?.schema;
    expect(body).toEqual({ $ref: '#/components/schemas/CptRunSpec' });
    expect(create?.responses['201']?.content?.['application/json']?.schema).toEqual({
      $ref: '#/components/schemas/Job',
    });
    expect(create?.parameters?.map(({ in: place, name }) => `${place} ${name}`)).toEqual([
      'query force',
      'header idempotency-key',
    ]);
  });

  it('is what the page at /docs shows', async () => {
    expect((await server.inject('/docs/json')).json()).toEqual(document);
  });
});

/** What Fastify routes, as "get /v1/jobs/{jobId}", without the pages about the document itself. */
function routesOf(instance: FastifyInstance): string[] {
  const path: string[] = [];
  return instance
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .flatMap((line) => {
      const found = /^([│ ]*)[├└]── (\S+) \(([A-Z, ]+)\)$/.exec(line);
      if (!found) return [];
      const [, indent = '', segment = '', methods = ''] = found;
      path.splice(indent.length / 4, Number.POSITIVE_INFINITY, segment);
      const full = path.join('').replaceAll(/:(\w+)/g, '{$1}');
      return methods.split(', ').map((method) => `${method.toLowerCase()} ${full}`);
    })
    .filter((route) => !/^head |\/docs|\/openapi\.json/.test(route)); // HEAD comes with GET
}

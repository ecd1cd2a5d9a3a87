import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import {
  type CptRunSpec,
  type CptRunSpecInput,
  type Plan,
  type PlanFacts,
  PlanFactsSchema,
  parseRunSpec,
} from '@pai-cpt/sdk';
import { Type } from 'typebox';
import type { ApiClient } from '../client.ts';
import { json, problems, ref } from '../openapi.ts';
import { checkedBy, findProblems, refuse } from '../request-validation.ts';

const closed = {
  additionalProperties: false,
  title: 'PlanRequest',
  description: 'A run, and what is known of its data.',
};
/** The outer object alone; each part has its own parser. */
const EnvelopeSchema = Type.Object({ spec: Type.Unknown(), facts: Type.Optional(Type.Unknown()) }, closed);

/** The body of `POST /v1/plans`. */
export const PlanRequest = {
  ...Type.Object(
    {
      spec: ref<CptRunSpecInput>('CptRunSpec'),
      facts: Type.Optional(ref<PlanFacts>('PlanFacts')),
    },
    closed,
  ),
  $id: 'PlanRequest',
};

interface PlanRequestBody {
  spec: CptRunSpec;
  facts?: PlanFacts;
}

/** Plans: what a run will do, and what speaks against it. Nothing is asked of PAI. */
export function planRoutes(client: ApiClient): FastifyPluginAsyncTypebox {
  return async (server) => {
    server.post(
      '/plans',
      {
        validatorCompiler: checkedBy(parsePlanRequest),
        schema: {
          operationId: 'createPlan',
          summary: 'What a run will do, before it costs anything',
          tags: ['plans'],
          body: ref<PlanRequestBody>('PlanRequest'),
          response: { 200: json('The plan.', ref<Plan>('Plan')), ...problems(400, 401, 403, 413, 415) },
        },
      },
      async ({ body: { spec, facts } }) => client.plan(spec, facts),
    );
  };
}

function parsePlanRequest(body: unknown): PlanRequestBody {
  refuse('plan request', findProblems(EnvelopeSchema, body));
  const { spec, facts } = body as { spec: unknown; facts?: PlanFacts };
  if (facts !== undefined) refuse('plan request', findProblems(PlanFactsSchema, facts, '/facts'));
  try {
    return { spec: parseRunSpec(spec), ...(facts && { facts }) };
  } catch (error) {
    throw CptError.isInstance(error) ? below('/spec', error) : error;
  }
}

/** The same error of a value that is part of another. */
function below(pointer: string, error: CptError): CptError {
  const found = (error.details.errors ?? []) as { pointer: string; message: string }[];
  const errors = found.map((each) => ({ ...each, pointer: `${pointer}${each.pointer}` }));
  return new InvalidInputError(error.code, error.message, { ...error.details, errors }, { cause: error });
}

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { CptError } from '@pai-cpt/core';
import {
  type CptRunSpec,
  type CptRunSpecInput,
  type Job,
  type JobList,
  JobListSchema,
  parseRunSpec,
} from '@pai-cpt/sdk';
import { Type } from 'typebox';
import type { ApiClient } from '../client.ts';
import type { Repositories } from '../db/repositories.ts';
import { answerOnce, fingerprintOf } from '../idempotency.ts';
import { json, problems, ref } from '../openapi.ts';
import { type ListOrder, PageQuery, pageSchema, readPage } from '../pages.ts';
import { checkedBy } from '../request-validation.ts';
import { remember } from './remember.ts';

export const JobPage = pageSchema(JobListSchema, 'jobs', ref<Job>('Job'), 'JobPage');
type JobPageBody = JobList & { hasMore: boolean; next?: string };

/** A request that is held longer is given up by proxies and clients; the SDK alone would look for the job for 15 minutes. */
const SUBMIT_TIMEOUT_MS = 60_000;

const JobParams = Type.Object({ jobId: Type.String({ minLength: 1, maxLength: 128, description: 'PAI’s id.' }) });
const aJob = (description: string) => json(description, ref<Job>('Job'));
/** PAI lists the newest first; two jobs of one second come in any order. */
const NEWEST_FIRST: ListOrder<Job> = {
  keyOf: (job) => job.createdAt,
  idOf: (job) => job.jobId,
  direction: 'descending',
};

/** Training jobs. PAI is the truth: every answer is what it says now, and is kept in passing. */
export function jobRoutes(client: ApiClient, { jobs, idempotencyKeys }: Repositories): FastifyPluginAsyncTypebox {
  return async (server) => {
    server.get(
      '/jobs',
      {
        schema: {
          operationId: 'listJobs',
          summary: 'Jobs of the workspace, the newest first',
          description: 'Also those that were not created through this service.',
          tags: ['jobs'],
          querystring: PageQuery,
          response: {
            200: json('One page.', ref<JobPageBody>('JobPage')),
            ...problems(400, 401, 403, 429, 502, 504),
          },
        },
      },
      async ({ query, log }) => {
        const { items, ...position } = await readPage(client.jobs.list(), NEWEST_FIRST, query);
        await remember(log, jobs.recordSeen(items));
        return { jobs: items, ...position };
      },
    );

    server.post(
      '/jobs',
      {
        validatorCompiler: checkedBy(parseRunSpec),
        schema: {
          operationId: 'createJob',
          summary: 'Plan a run and submit it to PAI',
          tags: ['jobs'],
          body: ref<CptRunSpecInput>('CptRunSpec'),
          querystring: Type.Object(
            {
              force: Type.Optional(Type.Boolean({ default: false, description: 'Submit even if the plan blocks it.' })),
            },
            { additionalProperties: false },
          ),
          headers: Type.Object({
            'idempotency-key': Type.Optional(
              Type.String({
                pattern: '^[\\x21-\\x7e]{1,255}$',
                description:
                  'A text of your choice, new for each run. The same request under the same key creates nothing and gets the stored answer, for as long as the database lives.',
              }),
            ),
          }),
          response: {
            201: json('The job was created.', ref<Job>('Job'), {
              Location: Type.String({ description: 'Path of the job.' }),
              'Idempotency-Replayed': Type.Optional(Type.Literal('true', { description: 'A stored answer.' })),
            }),
            ...problems(400, 401, 403, 409, 413, 415, 422, 429, 502, 503, 504),
          },
        },
      },
      async (request, reply) => {
        const { force = false } = request.query;
        const spec = request.body as CptRunSpec; // the parser has filled the defaults in
        const keyed = {
          operation: 'POST /v1/jobs',
          key: request.headers['idempotency-key'],
          fingerprint: fingerprintOf({ spec, force }),
        };
        return answerOnce(idempotencyKeys, keyed, reply, async () => {
          const job = await client.jobs.submit(spec, { force, timeoutMs: SUBMIT_TIMEOUT_MS }).catch(tellUnknown);
          await remember(request.log, jobs.recordCreated(job, withoutSecrets(spec)));
          return { status: 201, headers: { location: `/v1/jobs/${encodeURIComponent(job.jobId)}` }, body: { ...job } };
        });
      },
    );

    server.get(
      '/jobs/:jobId',
      {
        schema: {
          operationId: 'getJob',
          summary: 'What PAI says of a job',
          tags: ['jobs'],
          params: JobParams,
          response: { 200: aJob('The job.'), ...problems(400, 401, 403, 404, 422, 429, 502, 504) },
        },
      },
      async ({ params: { jobId }, log }) => {
        const job = await client.jobs.get(jobId);
        await remember(log, jobs.recordSeen([job]));
        return job;
      },
    );

    server.post(
      '/jobs/:jobId/stop',
      {
        schema: {
          operationId: 'stopJob',
          summary: 'Stop a job; nothing happens when it has ended',
          tags: ['jobs'],
          params: JobParams,
          response: {
            202: aJob('PAI was asked to stop it; the job as it is now.'),
            ...problems(400, 401, 403, 404, 422, 429, 502, 504),
          },
        },
      },
      async ({ params: { jobId }, log }, reply) => {
        const job = await client.jobs.stop(jobId);
        await remember(log, jobs.recordSeen([job]));
        return reply.code(202).send(job);
      },
    );

    server.delete(
      '/jobs/:jobId',
      {
        schema: {
          operationId: 'deleteJob',
          summary: 'Remove an ended job from PAI',
          tags: ['jobs'],
          params: JobParams,
          response: {
            204: { description: 'It is gone.', type: 'null' },
            ...problems(400, 401, 403, 404, 422, 429, 502, 504),
          },
        },
      },
      async ({ params: { jobId }, log }, reply) => {
        await client.jobs.delete(jobId);
        await remember(log, jobs.remove(jobId));
        return reply.code(204).send(null);
      },
    );
  };
}

/**
 * The SDK would continue under the key of its submission, in the process that has its journal. Over HTTP there is none: whoever asks
 * again starts anew, so that the answer must not invite to it.
 */
function tellUnknown(error: unknown): never {
  if (!CptError.isInstance(error) || error.code !== 'CPT_PAI_SUBMIT_UNKNOWN') throw error;
  throw new CptError(
    'CPT_SERVICE_SUBMIT_UNKNOWN',
    `PAI did not say within ${SUBMIT_TIMEOUT_MS / 1000} s whether it created the job ${error.details.displayName}; look for it in GET /v1/jobs before you submit it again, for a second one would run beside it`,
    error.details,
    { cause: error },
  );
}

/** What is kept of a spec: environment variables of a job are where tokens and passwords go. */
function withoutSecrets(spec: CptRunSpec): CptRunSpec {
  if (!spec.environment) return spec;
  const hidden = Object.keys(spec.environment).map((name) => [name, '(not kept)']);
  return { ...spec, environment: Object.fromEntries(hidden) };
}

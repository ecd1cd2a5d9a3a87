import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { CptClient, type CptRunSpecInput } from '@pai-cpt/sdk';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openRepositories, type Repositories } from '../src/db/repositories.ts';
import { buildServer } from '../src/server.ts';
import { createTestDatabase, postgresServers } from './test-database.ts';

let directory: string;
let pai: PaiLocal;
let client: CptClient;
let database: Awaited<ReturnType<typeof createTestDatabase>>;
let repositories: Repositories;
let server: FastifyInstance;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cpt-end-to-end-'));
  await makeImage(join(directory, 'images', 'waits'));
  pai = await startPaiLocal({
    accessKeys: { id: 'secret' },
    stateDirectory: join(directory, 'state'),
    nasDirectory: join(directory, 'nas'),
    imagesDirectory: join(directory, 'images'),
    pace: 10,
  });
  const credential = { accessKeyId: 'id', accessKeySecret: 'secret' };
  client = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential });
  database = await createTestDatabase(postgresServers()[0]?.url ?? '');
  repositories = await openRepositories(database.url);
  server = await buildServer({ client, repositories });
});
afterAll(async () => {
  await server?.close();
  await repositories?.close();
  await database?.drop();
  await pai?.close();
  await rm(directory, { recursive: true, force: true });
});

/** An image whose training lasts until it is stopped. */
async function makeImage(image: string): Promise<void> {
  const scripts = join(image, 'Pai-Megatron-Patch', 'examples', 'qwen2');
  await mkdir(scripts, { recursive: true });
  await mkdir(join(image, 'bin'));
  await writeFile(join(image, 'env.json'), JSON.stringify({ PAI_MEGATRON_PATCH: join(image, 'Pai-Megatron-Patch') }));
  await writeFile(join(scripts, 'run_mcore_qwen.sh'), 'exec sleep 600\n');
}

const RUN: CptRunSpecInput = {
  model: 'qwen2-tiny',
  data: { train: '/mnt/data/dataset' },
  dataSources: [{ uri: 'nas://data.cn-hangzhou/', mountPath: '/mnt/data' }],
  output: { uri: 'nas://output.cn-hangzhou/', mountPath: '/mnt/output' },
  compute: { nodes: 1, gpusPerNode: 1, ecsSpec: 'ecs.gn7e-c16g1.4xlarge' },
  image: 'registry.example.com/waits:latest',
};

it('creates, lists, stops and deletes jobs of a PAI that speaks the real API', async () => {
  const create = () =>
    server.inject({
      method: 'POST',
      url: '/v1/jobs?force=true',
      payload: RUN,
      headers: { 'idempotency-key': 'end-to-end' },
    });
  const created = await create();
  // A submission looks twice before it answers, and a job of this world may run by then.
  expect(['pending', 'running']).toContain(created.json().phase);
  expect(created.statusCode).toBe(201);
  const path = String(created.headers.location);
  expect((await create()).headers['idempotency-replayed']).toBe('true');

  const bySdk = await client.jobs.submit(RUN, { force: true });
  const list = (await server.inject('/v1/jobs')).json();
  expect(list.jobs.map((job: { jobId: string }) => job.jobId).toSorted()).toEqual(
    [created.json().jobId, bySdk.jobId].toSorted(),
  );

  const job = async () => (await server.inject(path)).json();
  await expect.poll(job, { timeout: 20_000 }).toMatchObject({ phase: 'running', pods: [{ status: 'Running' }] });
  expect((await server.inject({ method: 'POST', url: `${path}/stop` })).statusCode).toBe(202);
  await expect.poll(job, { timeout: 20_000 }).toMatchObject({ phase: 'stopped' });
  expect((await server.inject({ method: 'DELETE', url: path })).statusCode).toBe(204);
  expect(await job()).toMatchObject({ status: 404, code: 'CPT_PAI_NOT_FOUND' });
  await client.jobs.stop(bySdk.jobId);

  expect((await server.inject('/v1/services')).json()).toEqual({ services: [], hasMore: false });
  expect((await server.inject('/v1/services/none')).json()).toMatchObject({ status: 404, code: 'CPT_PAI_NOT_FOUND' });
});

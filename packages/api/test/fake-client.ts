import { PaiError } from '@pai-cpt/core';
import { CptClient, type CptRunSpecInput, type Job, type Service } from '@pai-cpt/sdk';
import type { ApiClient } from '../src/client.ts';

/** A run that has no blocking finding. */
export const RUN: CptRunSpecInput = {
  model: 'qwen2-72b',
  parallel: { tensorParallelSize: 8, pipelineParallelSize: 4 },
  data: { train: '/mnt/data/dataset', validation: '/mnt/data/dataset_valid' },
  baseCheckpoint: '/mnt/data/qwen2-72b-mcore-tp8-pp4',
  dataSources: [{ uri: 'nas://0123456789.cn-hangzhou/data', mountPath: '/mnt/data' }],
  output: { uri: 'nas://0123456789.cn-hangzhou/output', mountPath: '/mnt/output' },
  compute: { nodes: 4, gpusPerNode: 8, ecsSpec: 'ecs.gn7e-c16g1.32xlarge' },
  image: 'pai-megatron-patch:24.07',
};

export function aJob(fields: Partial<Job> = {}): Job {
  return {
    jobId: 'dlc1',
    displayName: 'qwen2-72b-cpt',
    phase: 'running',
    status: 'Running',
    createdAt: '2026-11-24T08:00:00Z',
    pods: [],
    statusHistory: [],
    ...fields,
  };
}

export interface FakeClient extends ApiClient {
  /** What the fake PAI has; a test changes it as it likes. */
  readonly pai: { jobs: Job[]; services: Service[] };
  /** What was asked of the fake PAI, in order. */
  readonly calls: string[];
  /** What each creation was given for its time. */
  readonly submitTimeouts: (number | undefined)[];
  /** Set it to let every call fail. */
  failure: Error | undefined;
  /** Awaited inside every creation. */
  creating: Promise<void>;
  /** Empties the fake PAI. */
  reset(): void;
}

/** PAI as arrays in memory: the SDK's client without a transport. */
export function fakeClient(): FakeClient {
  const pai: FakeClient['pai'] = { jobs: [], services: [] };
  const note = (call: string) => {
    client.calls.push(call);
    if (client.failure) throw client.failure;
  };
  const jobOf = (jobId: string) => {
    const job = pai.jobs.find((each) => each.jobId === jobId);
    if (!job) throw new PaiError('CPT_PAI_NOT_FOUND', `GetJob: PAI answered 404: no job ${jobId}`);
    return job;
  };
  const client: FakeClient = {
    pai,
    calls: [],
    submitTimeouts: [],
    failure: undefined,
    creating: Promise.resolve(),
    reset() {
      Object.assign(pai, { jobs: [], services: [] });
      client.calls.length = 0;
      client.submitTimeouts.length = 0;
      client.failure = undefined;
      client.creating = Promise.resolve();
    },
    jobs: {
      async submit(spec, { force, timeoutMs } = {}) {
        client.submitTimeouts.push(timeoutMs);
        note(`submit ${spec.hyperParameters?.job_name}${force ? ' by force' : ''}`);
        await client.creating;
        const number = pai.jobs.length + 1;
        const createdAt = new Date(Date.UTC(2026, 10, 24, 8, 0, number)).toISOString();
        const job = aJob({ jobId: `dlc${number}`, phase: 'pending', status: 'Creating', createdAt });
        pai.jobs.unshift(job);
        return { ...job, submission: { intentId: `intent-${number}`, how: 'created', stopped: [] } };
      },
      async get(jobId) {
        note(`get ${jobId}`);
        return jobOf(jobId);
      },
      async *list() {
        note('list');
        yield* [...pai.jobs];
      },
      async stop(jobId) {
        note(`stop ${jobId}`);
        return Object.assign(jobOf(jobId), { status: 'Stopping' });
      },
      async delete(jobId) {
        note(`delete ${jobId}`);
        pai.jobs.splice(pai.jobs.indexOf(jobOf(jobId)), 1);
      },
    },
    services: {
      async get(name) {
        note(`get ${name}`);
        const service = pai.services.find((each) => each.name === name);
        if (!service) throw new PaiError('CPT_PAI_NOT_FOUND', `DescribeService: PAI answered 404: no service ${name}`);
        return service;
      },
      async *list() {
        note('list');
        yield* [...pai.services];
      },
    },
    plan: CptClient.plan,
  };
  return client;
}

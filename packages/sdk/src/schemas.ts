import { type Static, Type } from 'typebox';
import { JOB_PHASES } from './job-status.ts';
import { MODEL_URI, PLAIN_NAME, SAFE_PATH, SERVICE_NAME } from './patterns.ts';
import { VpcSchema } from './run-spec.ts';
import { SERVICE_PHASES } from './service-status.ts';

/** The resources as JSON Schema: what the SDK gives, the REST service serves and the OpenAPI document says. */

const text = (description: string) => Type.String({ description });
const optionalText = (description: string) => Type.Optional(text(description));
const optionalTime = (description: string) => Type.Optional(text(`${description} (ISO 8601).`));

/** One process group of a job, on one node. */
export const PodSchema = Type.Object(
  {
    podId: text('Name within the job, such as dlc1-worker-0.'),
    podUid: optionalText('Changes when the pod is restarted.'),
    replacedUids: Type.Optional(
      Type.Array(Type.String(), { description: 'Uids of the pods that it replaced, oldest first.' }),
    ),
    type: optionalText('Master or Worker.'),
    status: optionalText('PAI’s status of the pod.'),
    ip: optionalText('Address inside the VPC.'),
    startedAt: optionalTime('When it started'),
    finishedAt: optionalTime('When it ended'),
  },
  { title: 'Pod' },
);
/** See `PodSchema`. */
export type Pod = Static<typeof PodSchema>;

/** A status and since when. */
export const StatusChangeSchema = Type.Object(
  {
    status: text('PAI’s status.'),
    phase: Type.Enum([...JOB_PHASES], { type: 'string' }),
    at: optionalTime('Since when'),
    reasonCode: optionalText('PAI’s code for why.'),
    reasonMessage: optionalText('PAI’s words for why.'),
  },
  { title: 'StatusChange' },
);
/** See `StatusChangeSchema`. */
export type StatusChange = Static<typeof StatusChangeSchema>;

/** A training job. */
export const JobSchema = Type.Object(
  {
    jobId: text('PAI’s id.'),
    displayName: text('Name given at creation; not unique.'),
    phase: Type.Enum([...JOB_PHASES], { type: 'string', description: 'Where the job stands.' }),
    status: text('PAI’s status, from which the phase follows.'),
    subStatus: optionalText('PAI’s finer status.'),
    reasonCode: optionalText('PAI’s code for the status.'),
    reasonMessage: optionalText('PAI’s words for the status.'),
    workspaceId: optionalText('PAI workspace.'),
    createdAt: text('When it was created (ISO 8601).'),
    startedAt: optionalTime('When it first ran'),
    finishedAt: optionalTime('When it ended'),
    durationSeconds: Type.Optional(Type.Number({ description: 'PAI’s duration of the job.' })),
    restarts: optionalText('Restarts so far and at most, such as 0/10.'),
    pods: Type.Array(PodSchema, { description: 'Empty in a list.' }),
    statusHistory: Type.Array(StatusChangeSchema, { description: 'Statuses so far, oldest first; empty in a list.' }),
  },
  { title: 'Job', description: 'A training job of PAI, on DLC or on QuickStart.' },
);
/** See `JobSchema`. */
export type Job = Static<typeof JobSchema>;

/** Jobs, newest first. */
export const JobListSchema = Type.Object({ jobs: Type.Array(JobSchema) }, { title: 'JobList' });
/** See `JobListSchema`. */
export type JobList = Static<typeof JobListSchema>;

/** A deployed model. */
export const ServiceSchema = Type.Object(
  {
    name: text('Unique in the region.'),
    serviceId: optionalText('PAI’s id.'),
    phase: Type.Enum([...SERVICE_PHASES], { type: 'string', description: 'Where the service stands.' }),
    status: text('PAI’s status, from which the phase follows.'),
    reason: optionalText('PAI’s code for the status.'),
    message: optionalText('PAI’s words for the status.'),
    url: optionalText('Where it answers; /v1/completions and its like follow.'),
    image: optionalText('Container image.'),
    runningInstances: Type.Optional(Type.Number({ description: 'Instances that run.' })),
    instances: Type.Optional(Type.Number({ description: 'Instances asked for.' })),
    version: Type.Optional(Type.Number({ description: 'Version that runs.' })),
    latestVersion: Type.Optional(Type.Number({ description: 'Newest version.' })),
    group: optionalText('Services of one group share an address.'),
    weight: Type.Optional(Type.Number({ description: 'Share of the group’s traffic, against the other weights.' })),
    trafficState: optionalText('grouping takes its share of the group’s traffic, standalone none.'),
    workspaceId: optionalText('PAI workspace.'),
    createdAt: optionalTime('When it was created'),
    updatedAt: optionalTime('When it was last changed'),
  },
  { title: 'Service', description: 'A model served by PAI EAS. Its access token is not part of it.' },
);
/** See `ServiceSchema`. */
export type Service = Static<typeof ServiceSchema>;

/** Services of a region. */
export const ServiceListSchema = Type.Object({ services: Type.Array(ServiceSchema) }, { title: 'ServiceList' });
/** See `ServiceListSchema`. */
export type ServiceList = Static<typeof ServiceListSchema>;

const closed = { additionalProperties: false } as const;

/** A service to deploy: a Hugging Face checkpoint on NAS or OSS, served by an image that has `vllm` on its path. */
export const ServiceSpecSchema = Type.Object(
  {
    name: Type.String({ pattern: SERVICE_NAME.pattern, description: 'Unique in the region.' }),
    checkpoint: Type.Object(
      {
        uri: Type.String({ pattern: MODEL_URI.pattern, description: 'Folder with config.json and safetensors.' }),
        mountPath: Type.Optional(
          Type.String({ pattern: SAFE_PATH.pattern, default: '/model', description: 'Where the container sees it.' }),
        ),
      },
      closed,
    ),
    image: Type.String({ pattern: PLAIN_NAME.pattern, description: 'Container image with vllm.' }),
    servedModelName: Type.Optional(
      Type.String({ pattern: PLAIN_NAME.pattern, description: 'Name in requests; by default the service’s name.' }),
    ),
    port: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 65_535, default: 8000, description: 'Port inside the container.' }),
    ),
    instances: Type.Optional(Type.Integer({ minimum: 1, default: 1, description: 'Containers to run.' })),
    instanceType: Type.Optional(Type.String({ minLength: 1, description: 'Instance type of the public pool.' })),
    resource: Type.Optional(
      Type.Object(
        {
          resourceId: Type.String({ minLength: 1, description: 'EAS resource group.' }),
          gpus: Type.Optional(Type.Integer({ minimum: 1 })),
          cpus: Type.Optional(Type.Integer({ minimum: 1 })),
          memoryMiB: Type.Optional(Type.Integer({ minimum: 1 })),
        },
        { ...closed, description: 'A resource group, instead of instanceType.' },
      ),
    ),
    tensorParallelSize: Type.Optional(
      Type.Integer({ minimum: 1, description: 'GPUs of an instance that share the model.' }),
    ),
    maxModelLength: Type.Optional(Type.Integer({ minimum: 1, description: 'Tokens of prompt and completion.' })),
    group: Type.Optional(
      Type.String({
        pattern: SERVICE_NAME.pattern,
        description: 'Services of one group share an address and split its traffic by their weights.',
      }),
    ),
    sharedMemoryGiB: Type.Optional(Type.Integer({ minimum: 1, description: 'EAS gives 64 when it is absent.' })),
    diskGiB: Type.Optional(Type.Integer({ minimum: 1, description: 'For the image and what it writes.' })),
    workspaceId: Type.Optional(Type.String({ minLength: 1, description: 'PAI workspace.' })),
    vpc: Type.Optional(VpcSchema),
  },
  { ...closed, title: 'ServiceSpec', description: 'A service to deploy.' },
);

/** What one check of a plan found. */
export const FindingSchema = Type.Object(
  {
    check: text('The check, such as P1.'),
    level: Type.Enum(['info', 'warn', 'block'], { type: 'string' }),
    message: text('What was found, with the formula and its numbers.'),
    numbers: Type.Record(Type.String(), Type.Number(), { description: 'The numbers of the message, by name.' }),
    advice: optionalText('What to do.'),
  },
  { title: 'Finding' },
);
/** See `FindingSchema`. */
export type Finding = Static<typeof FindingSchema>;

const gib = (description: string) => Type.Number({ description: `${description}, in GiB.` });

/** Memory of the GPUs of one pipeline stage. */
export const StageMemorySchema = Type.Object(
  {
    stage: Type.Integer({ description: 'From 0.' }),
    firstRank: Type.Integer({ description: 'First of its ranks.' }),
    lastRank: Type.Integer({ description: 'Last of its ranks.' }),
    statesGiB: gib('Weights, gradients and optimizer'),
    activationsGiB: gib('Activations in flight'),
    logitsGiB: gib('Logits'),
    overheadGiB: gib('CUDA and NCCL'),
    totalGiB: gib('All of them'),
  },
  { title: 'StageMemory' },
);
/** See `StageMemorySchema`. */
export type StageMemory = Static<typeof StageMemorySchema>;

/** One way to divide the model over the run's GPUs. */
export const LayoutSchema = Type.Object(
  {
    tensorParallelSize: Type.Integer(),
    pipelineParallelSize: Type.Integer(),
    contextParallelSize: Type.Integer(),
    dataParallelSize: Type.Integer({ description: 'Replicas of the model.' }),
    microBatches: Type.Integer({ description: 'Of a replica in an iteration.' }),
    statesGiB: gib('Weights, gradients and optimizer of the fullest GPU, the optimizer divided over the replicas'),
    wholeStatesGiB: gib('The same without a distributed optimizer'),
    activationsGiB: gib('Activations of the fullest GPU'),
    totalGiB: gib('All of the fullest GPU, CUDA and NCCL included'),
    bubble: Type.Number({ description: 'Share of the time that stages wait for each other.' }),
    verdict: Type.Enum(['fits', 'tight', 'uneven-batch', 'does-not-fit'], { type: 'string' }),
    isChosen: Type.Boolean({ description: 'True for the one of the run.' }),
  },
  { title: 'Layout' },
);
/** See `LayoutSchema`. */
export type Layout = Static<typeof LayoutSchema>;

const seconds = (description: string) => Type.Number({ description: `${description}, in seconds.` });

/** A run, computed before it is submitted. */
export const PlanSchema = Type.Object(
  {
    iterations: Type.Integer({ description: 'Iterations the run will do.' }),
    warmupIterations: Type.Integer({ description: 'Of these, with a rising learning rate.' }),
    tokensPerIteration: Type.Integer({ description: 'Global batch size × sequence length.' }),
    tokens: Type.Integer({ description: 'Tokens the run will see: iterations × tokens per iteration.' }),
    epochs: Type.Optional(
      Type.Number({ description: 'Passes over the training part of the dataset, when it is known.' }),
    ),
    saves: Type.Integer({ description: 'Checkpoints, the one at the end included.' }),
    saveInterval: Type.Integer({ description: 'Iterations between two of them.' }),
    gpus: Type.Integer({ description: 'GPUs of the run.' }),
    gpuMemoryGiB: Type.Integer({ description: 'Memory of each.' }),
    memory: Type.Array(StageMemorySchema, {
      description: 'Of each pipeline stage; empty for a division that is none.',
    }),
    layouts: Type.Array(LayoutSchema, { description: 'The division of the run among those it could have.' }),
    duration: Type.Object(
      {
        startSeconds: seconds('Image, start and loading'),
        trainingSeconds: seconds('All iterations'),
        savingSeconds: seconds('All checkpoints'),
        totalSeconds: seconds('From Running to the end'),
      },
      { description: 'An estimate, without the queue.' },
    ),
    isBlocked: Type.Boolean({ description: 'True when a finding blocks the run.' }),
    findings: Type.Array(FindingSchema),
  },
  { title: 'Plan', description: 'What a run will do, before any GPU is asked for.' },
);
/** See `PlanSchema`. */
export type Plan = Static<typeof PlanSchema>;

/** An error over HTTP (RFC 9457). */
export const ProblemSchema = Type.Object(
  {
    type: text('URI of the error’s description.'),
    title: text('What the code means.'),
    status: Type.Integer({ description: 'HTTP status.' }),
    detail: text('What happened this time.'),
    code: text('Code of the error; never renamed.'),
    instance: optionalText('The request.'),
    retryable: Type.Optional(Type.Boolean({ description: 'True when the same request may succeed later.' })),
    errors: Type.Optional(
      Type.Array(Type.Object({ pointer: text('JSON pointer into the body.'), message: text('What is wrong there.') })),
    ),
  },
  { title: 'Problem' },
);
/** See `ProblemSchema`. */
export type Problem = Static<typeof ProblemSchema>;

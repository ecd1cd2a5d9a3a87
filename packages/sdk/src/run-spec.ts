import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { MODEL_NAMES, MODELS } from './models.ts';
import { type InputProblem, parseInput } from './parse-input.ts';
import { ENVIRONMENT_NAME, NAS_URI, PLAIN_NAME, SAFE_PATH, STORAGE_URI } from './patterns.ts';
import { checkQuickstart } from './routes/quickstart-input.ts';

const closed = { additionalProperties: false } as const;
const count = (minimum: number, description: string, extra: object = {}) =>
  Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER, description, ...extra });

const hyperParameters = {
  ...closed,
  title: 'HyperParameters',
  description: 'The hyper-parameters of PAI-QuickStart.',
} as const;

/** The hyper-parameters of PAI-QuickStart: its names, its defaults, its meanings. */
export const HyperParametersSchema = Type.Object(
  {
    job_name: Type.Optional(
      Type.String({
        default: 'qwen2-72b-cpt',
        minLength: 1,
        maxLength: 256,
        description: 'Kind of training job; on QuickStart not to be changed. Here also the display name of the job.',
      }),
    ),
    batch_size: Type.Optional(count(1, 'Samples per GPU and iteration (micro batch).', { default: 1 })),
    global_batch_size: Type.Optional(count(1, 'Samples over all GPUs and iteration.', { default: 32 })),
    learning_rate: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, default: 5e-5, description: 'Peak learning rate.' }),
    ),
    min_learning_rate: Type.Optional(
      Type.Number({ minimum: 0, default: 5e-6, description: 'Floor of the learning rate schedule.' }),
    ),
    sequence_length: Type.Optional(count(1, 'Tokens per sample.', { default: 1024 })),
    pad_length: Type.Optional(count(0, 'Padding length of a sequence.', { default: 128 })),
    save_interval: Type.Optional(count(1, 'Iterations between checkpoints.', { default: 1000 })),
    train_tokens: Type.Optional(
      count(1, 'Tokens in all; an iteration takes global_batch_size × sequence_length.', { default: 1_638_400 }),
    ),
    warmup_tokens: Type.Optional(count(0, 'Tokens of the warm-up.', { default: 163_840 })),
  },
  hyperParameters,
);

/** How the model is divided over GPUs. */
export const ParallelSchema = Type.Object(
  {
    tensorParallelSize: count(1, 'GPUs that share each layer.'),
    pipelineParallelSize: count(1, 'Stages the layers are divided over.'),
    contextParallelSize: Type.Optional(count(1, 'GPUs that share each sequence.', { default: 1 })),
  },
  {
    ...closed,
    title: 'Parallel',
    description: 'How the model is divided; by default the smallest division that fits.',
  },
);

const mountPath = Type.String({ pattern: SAFE_PATH.pattern, description: 'Where the job sees it.' });
const datasetId = Type.String({ minLength: 1, description: 'A dataset of the PAI workspace, instead of a URI.' });

/** A folder that the job sees. */
export const DataSourceSchema = Type.Object(
  {
    uri: Type.Optional(Type.String({ pattern: STORAGE_URI.pattern, description: 'A folder in cloud storage.' })),
    datasetId: Type.Optional(datasetId),
    mountPath,
  },
  { ...closed, title: 'DataSource' },
);

/** A network of the account. */
export const VpcSchema = Type.Object(
  {
    vpcId: Type.String({ minLength: 1 }),
    switchId: Type.String({ minLength: 1 }),
    securityGroupId: Type.String({ minLength: 1 }),
  },
  { ...closed, title: 'Vpc', description: 'The network that reaches the NAS.' },
);

const ComputeSchema = Type.Object(
  {
    nodes: Type.Optional(count(1, 'Pods, one on each node; 4 by default for a 72B model.', { maximum: 4096 })),
    gpusPerNode: Type.Optional(count(1, 'GPUs of each pod; 8 by default for a 72B model.', { maximum: 16 })),
    gpuMemoryGiB: Type.Optional(count(1, 'Memory of one GPU.', { default: 80 })),
    ecsSpec: Type.Optional(Type.String({ minLength: 1, description: 'Instance type of the public pool.' })),
    quotaId: Type.Optional(Type.String({ minLength: 1, description: 'Resource quota, instead of ecsSpec.' })),
    cpusPerNode: Type.Optional(count(1, 'With quotaId: CPU cores of each pod.')),
    memoryGiBPerNode: Type.Optional(count(1, 'With quotaId: memory of each pod.')),
    sharedMemoryGiBPerNode: Type.Optional(count(1, 'With quotaId: /dev/shm of each pod.')),
    gpuType: Type.Optional(Type.String({ minLength: 1, description: 'With quotaId: kind of GPU.' })),
  },
  { ...closed, title: 'Compute' },
);

const QuickstartSchema = Type.Object(
  {
    card: Type.Optional(Type.String({ minLength: 1, description: 'Name of the card in the Model Gallery.' })),
    version: Type.Optional(Type.String({ minLength: 1, description: 'Version of the card; by default the latest.' })),
    method: Type.Optional(
      Type.String({ minLength: 1, description: 'Method of training, where the version has several; by its name.' }),
    ),
    hyperParameters: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Further hyper-parameters of the card’s algorithm, in text as PAI passes them.',
      }),
    ),
  },
  { ...closed, title: 'Quickstart', description: 'Only with the route quickstart.' },
);

const ResumeSchema = Type.Object(
  {
    checkpoint: Type.String({
      pattern: SAFE_PATH.pattern,
      description: 'Folder of the earlier run’s checkpoints, as the job sees it; it holds iter_… folders.',
    }),
    iteration: count(1, 'Which of them to go on from.'),
    order: Type.Optional(
      Type.Enum(['continue', 'anew'], {
        type: 'string',
        description:
          'continue, the default: iterations and samples go on after those of the checkpoint; anew: both begin again.',
      }),
    ),
    schedule: Type.Optional(
      Type.Object(
        {
          start: count(1, 'Iterations of it that are done.'),
          iterations: count(1, 'Its whole length in iterations.'),
          warmupIterations: count(0, 'Its warm-up in iterations.'),
        },
        {
          ...closed,
          title: 'Schedule',
          description: 'The learning rate schedule that goes on; without it a schedule of the run’s own begins.',
        },
      ),
    ),
  },
  {
    ...closed,
    title: 'Resume',
    description: 'Goes on from a checkpoint of an earlier run; jobs.resume() fills it in.',
  },
);

/** One continued pre-training run; also the body of the REST service's `POST /v1/jobs`. */
export const CptRunSpecSchema = Type.Object(
  {
    model: Type.Enum(MODEL_NAMES, { type: 'string', description: 'The model whose pre-training is continued.' }),
    hyperParameters: Type.Optional(Type.Object(HyperParametersSchema.properties, { ...hyperParameters, default: {} })),
    parallel: Type.Optional(ParallelSchema),
    data: Type.Object(
      {
        train: Type.String({
          pattern: SAFE_PATH.pattern,
          description: 'Prefix of the MMAP dataset as the job sees it, without .bin and .idx.',
        }),
        validation: Type.Optional(
          Type.String({ pattern: SAFE_PATH.pattern, description: 'Prefix of the held-out dataset.' }),
        ),
      },
      { ...closed, title: 'Data' },
    ),
    baseCheckpoint: Type.Optional(
      Type.String({
        pattern: SAFE_PATH.pattern,
        description: 'Megatron checkpoint to start from, as the job sees it, in the same parallel division.',
      }),
    ),
    resume: Type.Optional(ResumeSchema),
    dataSources: Type.Array(DataSourceSchema, { maxItems: 32, description: 'Folders to mount.' }),
    output: Type.Object(
      {
        uri: Type.Optional(Type.String({ pattern: NAS_URI.pattern, description: 'A folder on NAS.' })),
        datasetId: Type.Optional(datasetId),
        mountPath,
      },
      { ...closed, title: 'Output', description: 'A NAS folder; checkpoints land in its sub-folder "checkpoint".' },
    ),
    compute: ComputeSchema,
    image: Type.Optional(
      Type.String({
        pattern: PLAIN_NAME.pattern,
        description: 'Container image with Pai-Megatron-Patch; on QuickStart the algorithm brings its own.',
      }),
    ),
    route: Type.Optional(
      Type.Enum(['dlc', 'quickstart'], {
        type: 'string',
        description:
          'dlc, the default, runs Pai-Megatron-Patch in the image; quickstart trains a card of the Model Gallery.',
      }),
    ),
    quickstart: Type.Optional(QuickstartSchema),
    workspaceId: Type.Optional(Type.String({ minLength: 1, description: 'PAI workspace.' })),
    vpc: Type.Optional(VpcSchema),
    priority: Type.Optional(count(1, 'Place in the queue; 9 is first.', { maximum: 9 })),
    maxRunningTimeMinutes: Type.Optional(count(1, 'PAI stops the job after this time.')),
    tags: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'Tags of the job.' })),
    environment: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        propertyNames: { type: 'string', pattern: ENVIRONMENT_NAME.pattern },
        description: 'Environment variables of every pod.',
      }),
    ),
  },
  { ...closed, title: 'CptRunSpec', description: 'One continued pre-training run.' },
);

/** A run as a caller writes it; what has a default may be left out. */
export type CptRunSpecInput = Static<typeof CptRunSpecSchema>;
/** The ten hyper-parameters, none absent. */
export type HyperParameters = Required<Static<typeof HyperParametersSchema>>;
/** Their defaults: those of PAI-QuickStart. */
export const DEFAULT_HYPER_PARAMETERS = Value.Default(HyperParametersSchema, {}) as HyperParameters;
/** The three parallel sizes, none absent. */
export type Parallel = Required<Static<typeof ParallelSchema>>;
type Compute = Static<typeof ComputeSchema>;

/** A run with its defaults filled in. `parallel` stays absent when it is to be suggested: see `parallelOf`. */
export type CptRunSpec = Omit<CptRunSpecInput, 'hyperParameters' | 'parallel' | 'compute'> & {
  hyperParameters: HyperParameters;
  parallel?: Parallel;
  compute: Compute & { nodes: number; gpusPerNode: number; gpuMemoryGiB: number };
};

/** What PAI's guide runs a 72B model on. */
const GUIDE_COMPUTE = { nodes: 4, gpusPerNode: 8 } as const;
const hasGuideCompute = (model: CptRunSpec['model']): boolean => MODELS[model].size === '72B';

/**
 * The run that `value` describes, with defaults filled in.
 * @throws InvalidInputError `CPT_INPUT_INVALID` naming the JSON pointer, what was found there and, for an unknown field, the
 * nearest known name; `details.errors` lists every problem.
 */
export function parseRunSpec(value: unknown): CptRunSpec {
  const spec = parseInput(CptRunSpecSchema, value, 'run specification', crossCheck) as CptRunSpec;
  return hasGuideCompute(spec.model) ? { ...spec, compute: { ...GUIDE_COMPUTE, ...spec.compute } } : spec;
}

function crossCheck(spec: CptRunSpecInput): InputProblem[] {
  const problems: InputProblem[] = [];
  const report = (pointer: string, message: string): void => void problems.push({ pointer, message });

  const mounts = [
    ...spec.dataSources.map((source, index) => ({ source, pointer: `/dataSources/${index}` })),
    { source: spec.output, pointer: '/output' },
  ];
  const owners = new Map<string, string>();
  for (const { source, pointer } of mounts) {
    const given = [source.uri, source.datasetId].filter((item) => item !== undefined).length;
    if (given !== 1)
      report(pointer, `has ${given === 0 ? 'neither uri nor' : 'both uri and'} datasetId; give one of them`);
    const path = source.mountPath.replace(/\/$/, '');
    const owner = owners.get(path);
    if (owner) report(`${pointer}/mountPath`, `is "${path}", where ${owner} is mounted already`);
    owners.set(path, pointer);
  }

  for (const name of ['nodes', 'gpusPerNode'] as const) {
    if (spec.compute[name] === undefined && !hasGuideCompute(spec.model)) report(`/compute/${name}`, 'is missing');
  }
  const { ecsSpec, quotaId } = spec.compute;
  if ((ecsSpec === undefined) === (quotaId === undefined)) {
    const what = ecsSpec === undefined ? 'neither ecsSpec nor' : 'both ecsSpec and';
    report('/compute', `has ${what} quotaId; give the instance type of the public pool, or a quota`);
  }
  for (const name of ['cpusPerNode', 'memoryGiBPerNode', 'sharedMemoryGiBPerNode', 'gpuType'] as const) {
    if (ecsSpec !== undefined && spec.compute[name] !== undefined) {
      report(`/compute/${name}`, 'is only for quotaId; an ecsSpec fixes it');
    }
  }

  for (const name of ['train', 'validation'] as const) {
    const file = /\.(bin|idx)$/.exec(spec.data[name] ?? '');
    if (file) report(`/data/${name}`, `ends in ${file[0]}; give the prefix that dataset.bin and dataset.idx share`);
  }
  if (spec.route === 'quickstart' && spec.resume !== undefined) {
    report('/resume', 'is only for the route "dlc"; QuickStart’s algorithm decides itself what it loads');
  }
  if (spec.route === 'quickstart') problems.push(...checkQuickstart(spec));
  else {
    if (spec.image === undefined) report('/image', 'is missing');
    if (spec.quickstart !== undefined) report('/quickstart', 'is only for the route "quickstart"');
  }
  return problems;
}

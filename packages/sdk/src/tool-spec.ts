import { type Static, Type } from 'typebox';
import { type InputProblem, parseInput } from './parse-input.ts';
import { ARGUMENT, INPUT_PATH, PLAIN_NAME, SAFE_PATH } from './patterns.ts';
import { DataSourceSchema, VpcSchema } from './run-spec.ts';

const closed = { additionalProperties: false } as const;
const path = (description: string) => Type.String({ pattern: SAFE_PATH.pattern, description });
const inputPath = (description: string) => Type.String({ pattern: INPUT_PATH.pattern, description });

/** What both tools share. */
const shared = {
  parts: Type.Integer({ minimum: 1, maximum: 1024, description: 'Pods; each does one part of the work.' }),
  arguments: Type.Optional(
    Type.Array(Type.String({ pattern: ARGUMENT.pattern }), {
      description: 'Further options of the program, such as --dtype and bf16, one text each.',
    }),
  ),
  image: Type.String({ pattern: PLAIN_NAME.pattern, description: 'Container image with ckpt-convert and cpt-mmap.' }),
  dataSources: Type.Array(DataSourceSchema, { minItems: 1, maxItems: 32, description: 'Folders to mount; one NAS.' }),
  compute: Type.Object(
    {
      ecsSpec: Type.Optional(Type.String({ minLength: 1, description: 'Instance type of the public pool.' })),
      quotaId: Type.Optional(Type.String({ minLength: 1, description: 'Resource quota, instead of ecsSpec.' })),
      cpusPerNode: Type.Optional(Type.Integer({ minimum: 1, description: 'With quotaId: CPU cores of each pod.' })),
      memoryGiBPerNode: Type.Optional(Type.Integer({ minimum: 1, description: 'With quotaId: memory of each pod.' })),
    },
    { ...closed, title: 'ToolCompute' },
  ),
  jobName: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: 'Display name of the job.' })),
  workspaceId: Type.Optional(Type.String({ minLength: 1, description: 'PAI workspace.' })),
  vpc: Type.Optional(VpcSchema),
  priority: Type.Optional(Type.Integer({ minimum: 1, maximum: 9, description: 'Place in the queue; 9 is first.' })),
  maxRunningTimeMinutes: Type.Optional(Type.Integer({ minimum: 1, description: 'PAI stops the job after this time.' })),
  tags: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'Tags of the job.' })),
};

const ConvertSchema = Type.Object(
  {
    tool: Type.Literal('convert'),
    command: Type.Enum(['to-hf', 'to-megatron', 'reshard'], { type: 'string', description: 'Of ckpt-convert.' }),
    input: inputPath('Checkpoint or model folder, as the job sees it.'),
    output: path('Folder to make.'),
    ...shared,
  },
  { ...closed, title: 'ConvertToolSpec', description: 'A conversion by ckpt-convert on several pods.' },
);

const TokeniseSchema = Type.Object(
  {
    tool: Type.Literal('tokenise'),
    inputs: Type.Array(inputPath('A file, a folder or a pattern.'), { minItems: 1 }),
    tokenizer: inputPath('tokenizer.json, or its folder.'),
    output: path('Prefix of the dataset; with a slash at its end a folder for dataset.bin and dataset.idx.'),
    ...shared,
  },
  { ...closed, title: 'TokeniseToolSpec', description: 'A build of cpt-mmap on several pods, merged at its end.' },
);

/** Work for one of our own programs, beside the NAS. */
export type ToolSpec = Static<typeof ConvertSchema> | Static<typeof TokeniseSchema>;

/** Options that the job gives itself, or that parts cannot have. */
const OWN_OPTIONS = {
  convert: ['--part', '--resume', '--dry-run', '--json'],
  tokenise: [
    ...['--part', '--output', '--tokenizer', '--dry-run', '--json', '--restart', '--force'],
    ...['--shuffle', '--held-out', '--limit'],
  ],
} as const;

/**
 * The tool job that `value` describes.
 * @throws InvalidInputError `CPT_INPUT_INVALID` as `parseRunSpec` does.
 */
export function parseToolSpec(value: unknown): ToolSpec {
  const tool = typeof value === 'object' && value !== null && 'tool' in value ? value.tool : undefined;
  if (tool === 'tokenise') return parseInput(TokeniseSchema, value, 'tool job', crossCheck);
  if (tool === 'convert') return parseInput(ConvertSchema, value, 'tool job', crossCheck);
  return parseInput(ToolSchema, value, 'tool job') as never;
}

/** Only to say what is wrong with `tool`. */
const ToolSchema = Type.Object({ tool: Type.Enum(['convert', 'tokenise'], { type: 'string' }) });

function crossCheck(spec: ToolSpec): InputProblem[] {
  const problems: InputProblem[] = [];
  const { ecsSpec, quotaId } = spec.compute;
  if ((ecsSpec === undefined) === (quotaId === undefined)) {
    problems.push({ pointer: '/compute', message: 'needs either ecsSpec or quotaId' });
  }
  for (const [index, source] of spec.dataSources.entries()) {
    if ((source.uri === undefined) !== (source.datasetId === undefined)) continue;
    problems.push({ pointer: `/dataSources/${index}`, message: 'needs either uri or datasetId' });
  }
  for (const [index, argument] of (spec.arguments ?? []).entries()) {
    const own = OWN_OPTIONS[spec.tool].find((name) => argument === name || argument.startsWith(`${name}=`));
    if (own)
      problems.push({ pointer: `/arguments/${index}`, message: `is ${own}, which a job of parts cannot be given` });
  }
  return problems;
}

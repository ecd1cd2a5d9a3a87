import { omitUndefined } from './omit-undefined.ts';
import type { WireCreateJob, WireJobSpec } from './pai-wire.ts';
import { checkJobSize, toDataSource } from './routes/dlc.ts';
import { shellQuote } from './shell-quote.ts';
import { INTENT_VARIABLE } from './submit/marker.ts';
import { type SubmitOptions, type SubmittedJob, type Submitter, submitBody } from './submit.ts';
import { parseToolSpec, type ToolSpec } from './tool-spec.ts';

export type ToolSubmitOptions = Omit<SubmitOptions, 'force' | 'facts'>;

/**
 * Makes sure that the job of a tool exists, exactly once, as `submitJob` does for a training. Each of its pods does one part,
 * and a pod that is killed is started again and goes on; pod 0 ends last, when the whole is in place.
 * @throws InvalidInputError `CPT_INPUT_INVALID`, `CPT_INPUT_JOB_TOO_LARGE`, and what `submitJob` throws but for the plan.
 */
export function submitToolJob(
  submitter: Submitter,
  value: ToolSpec,
  options: ToolSubmitOptions = {},
): Promise<SubmittedJob> {
  const body = toToolJob(parseToolSpec(value), submitter.workspaceId);
  return submitBody(submitter, { body, forced: [], withheld: [] }, options);
}

/** The CreateJob body of a tool job. @throws InvalidInputError `CPT_INPUT_JOB_TOO_LARGE` */
export function toToolJob(spec: ToolSpec, workspaceId?: string): WireCreateJob {
  const body: WireCreateJob = omitUndefined({
    DisplayName: spec.jobName ?? `cpt-${spec.tool}`,
    JobType: 'PyTorchJob' as const,
    JobSpecs: [podGroup(spec, 'Master', 1), ...(spec.parts > 1 ? [podGroup(spec, 'Worker', spec.parts - 1)] : [])],
    UserCommand: toolCommand(spec),
    WorkspaceId: spec.workspaceId ?? workspaceId,
    ResourceId: spec.compute.quotaId,
    DataSources: spec.dataSources.map(toDataSource),
    UserVpc: spec.vpc && {
      VpcId: spec.vpc.vpcId,
      SwitchId: spec.vpc.switchId,
      SecurityGroupId: spec.vpc.securityGroupId,
    },
    Priority: spec.priority,
    JobMaxRunningTimeMinutes: spec.maxRunningTimeMinutes,
    Settings: { Tags: { ...spec.tags, 'cpt-tool': spec.tool } },
  });
  checkJobSize(body);
  return body;
}

function podGroup(spec: ToolSpec, type: WireJobSpec['Type'], podCount: number): WireJobSpec {
  const { ecsSpec, cpusPerNode, memoryGiBPerNode } = spec.compute;
  return {
    Type: type,
    Image: spec.image,
    PodCount: podCount,
    RestartPolicy: 'OnFailure', // a part goes on where its pod was killed
    ...(ecsSpec !== undefined
      ? { EcsSpec: ecsSpec }
      : {
          ResourceConfig: omitUndefined({
            CPU: cpusPerNode === undefined ? undefined : String(cpusPerNode),
            Memory: memoryGiBPerNode === undefined ? undefined : `${memoryGiBPerNode}Gi`,
          }),
        }),
  };
}

/**
 * The command that every pod runs. RANK counts from 0 and the programs' parts from 1. Pod 0 stays until the whole is there:
 * the job of a PyTorchJob whose rank 0 has ended may count as done, and its other pods be removed.
 */
export function toolCommand(spec: ToolSpec): string {
  return spec.tool === 'convert' ? convertCommand(spec) : tokeniseCommand(spec);
}

/** ckpt-convert puts the whole in place with whichever part ends last; until then its working folder is there. */
function convertCommand({ command, input, output, parts, ...rest }: Extract<ToolSpec, { tool: 'convert' }>): string {
  const given = (rest.arguments ?? []).map(shellQuote).join(' ');
  return [
    'set -u',
    `work=${shellQuote(`${output.replace(/\/$/, '')}/.ckpt-convert`)}`,
    'attempt=0',
    'while :; do',
    `  ckpt-convert ${command} ${shellQuote(input)} ${shellQuote(output)} --part "$((RANK + 1))/${parts}" ${given}`,
    '  code=$?',
    // The lock of a pod that was killed on another machine is stale after two minutes; this many attempts outlast it.
    '  attempt=$((attempt + 1))',
    `  if [ "$code" != ${LOCKED} ] || [ "$attempt" = 10 ]; then break; fi`,
    '  sleep 20',
    'done',
    '[ "$code" = 0 ] || exit "$code"',
    '[ "$RANK" = 0 ] || exit 0',
    'while [ -e "$work" ]; do sleep 1; done',
  ].join('\n');
}

/** sysexits.h EX_TEMPFAIL, with which ckpt-convert says that another one holds the output. */
const LOCKED = 75;

/**
 * Parts are whole when their .idx is there, which is written last; pod 0 waits for all and merges them. What a killed merge
 * left is replaced, a dataset that was there before is not.
 */
function tokeniseCommand(spec: Extract<ToolSpec, { tool: 'tokenise' }>): string {
  const { inputs, tokenizer, parts } = spec;
  const output = spec.output.endsWith('/') ? `${spec.output}dataset` : spec.output;
  const numbers = Array.from({ length: parts }, (_, index) => index + 1);
  const given = [...inputs, '--tokenizer', tokenizer, ...(spec.arguments ?? [])].map(shellQuote).join(' ');
  return [
    'set -u',
    'part=$((RANK + 1))',
    `out=${shellQuote(output)}`,
    `work=${shellQuote(`${output.slice(0, output.lastIndexOf('/'))}/.cpt-tool-`)}"$${INTENT_VARIABLE}"`,
    '[ ! -e "$work/done" ] || exit 0',
    'if [ ! -e "$work/merging" ] && { [ -e "$out.idx" ] || [ -e "$out.bin" ]; }; then',
    '  echo "$out.idx or .bin is there already; remove it or choose another output" >&2',
    '  exit 2',
    'fi',
    'mkdir -p "$work" || exit',
    'if [ ! -e "$work/$part.idx" ]; then',
    `  cpt-mmap build ${given} --output "$work/$part" --part "$part/${parts}" || exit`,
    'fi',
    '[ "$RANK" = 0 ] || exit 0',
    `for i in ${numbers.join(' ')}; do`,
    '  while [ ! -e "$work/$i.idx" ]; do sleep 1; done',
    'done',
    'force=',
    '[ ! -e "$work/merging" ] || force=--force',
    ': > "$work/merging" || exit',
    `cpt-mmap merge "$out" ${numbers.map((number) => `"$work/${number}"`).join(' ')} $force || exit`,
    ': > "$work/done" || exit',
    'rm -f "$work"/[0-9]*',
  ].join('\n');
}

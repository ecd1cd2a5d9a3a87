import { MODELS, type ModelShape } from './models.ts';
import { parallelOf } from './parallel-layout.ts';
import { checkpointToLoad, resumeSteps } from './restart/resume-view.ts';
import { scheduleArguments } from './restart/schedule-place.ts';
import type { CptRunSpec } from './run-spec.ts';
import { shellQuote } from './shell-quote.ts';

/**
 * A launch script of Pai-Megatron-Patch and the order of its positional arguments, which differs from family to family
 * (alibaba/Pai-Megatron-Patch@a098ca5, examples/<directory>/<script>).
 */
interface Launcher {
  readonly directory: string;
  readonly script: string;
  readonly order: readonly (keyof LaunchArguments)[];
}

/** The arguments by the names that the scripts give them. */
interface LaunchArguments {
  ENV: 'dlc' | 'dsw';
  MODEL_SIZE: string;
  BATCH_SIZE: number;
  GLOBAL_BATCH_SIZE: number;
  LR: number;
  MIN_LR: number;
  SEQ_LEN: number;
  PAD_LEN: number;
  PR: 'bf16' | 'fp16' | 'fp8';
  TP: number;
  PP: number;
  CP: number;
  ETP: number;
  EP: number;
  SP: boolean;
  DO: boolean;
  FL: boolean;
  SFT: boolean;
  AC: 'sel' | 'full' | 'offload' | 'none';
  OPTIMIZER_OFFLOAD: string;
  SAVE_INTERVAL: number;
  DATASET_PATH: string;
  VALID_DATASET_PATH: string;
  PRETRAIN_CHECKPOINT_PATH: string;
  TRAIN_TOKENS: number;
  WARMUP_TOKENS: number;
  OUTPUT_BASEPATH: string;
}

const HEAD = [
  'ENV',
  'MODEL_SIZE',
  'BATCH_SIZE',
  'GLOBAL_BATCH_SIZE',
  'LR',
  'MIN_LR',
  'SEQ_LEN',
  'PAD_LEN',
  'PR',
] as const;
const DIVISION = ['TP', 'PP', 'CP'] as const;
const SWITCHES = ['SP', 'DO', 'FL', 'SFT', 'AC', 'OPTIMIZER_OFFLOAD', 'SAVE_INTERVAL'] as const;
const PATHS = ['DATASET_PATH', 'VALID_DATASET_PATH', 'PRETRAIN_CHECKPOINT_PATH'] as const;
const TAIL = ['TRAIN_TOKENS', 'WARMUP_TOKENS', 'OUTPUT_BASEPATH'] as const;

const LAUNCHERS: Record<ModelShape['family'], Launcher> = {
  qwen2: {
    directory: 'qwen2',
    script: 'run_mcore_qwen.sh',
    order: [...HEAD, ...DIVISION, 'EP', ...SWITCHES, ...PATHS, ...TAIL], // 26
  },
  'qwen2.5': {
    directory: 'qwen2_5',
    script: 'run_mcore_qwen.sh',
    order: [...HEAD, ...DIVISION, ...SWITCHES, ...PATHS, ...TAIL], // 25: no expert parallelism
  },
  qwen3: {
    directory: 'qwen3',
    script: 'run_mcore_qwen3.sh',
    order: [...HEAD, ...DIVISION, 'ETP', 'EP', ...SWITCHES, ...PATHS, ...TAIL], // 27
  },
};

/** The launch script's positional arguments, in its order, unquoted. */
export function megatronArguments(spec: CptRunSpec): string[] {
  const { order } = LAUNCHERS[MODELS[spec.model].family];
  const values = launchArguments(spec);
  return order.map((name) => String(values[name]));
}

/** The launch script with its arguments, as a shell command. */
export function megatronLaunch(spec: CptRunSpec): string {
  const { script } = LAUNCHERS[MODELS[spec.model].family];
  return `bash ${script} ${megatronArguments(spec).map(shellQuote).join(' ')}`;
}

/**
 * The command every pod runs. The script takes the number of GPUs from KUBERNETES_CONTAINER_RESOURCE_GPU, which PAI does
 * not document; it is set from NPROC_PER_NODE, which PAI does, where it is missing.
 */
export function megatronCommand(spec: CptRunSpec): string {
  const { directory } = LAUNCHERS[MODELS[spec.model].family];
  const folder = `\${PAI_MEGATRON_PATCH:-/workspace/Pai-Megatron-Patch}/examples/${directory}`;
  const gpus = `\${KUBERNETES_CONTAINER_RESOURCE_GPU:-\${NPROC_PER_NODE:-${spec.compute.gpusPerNode}}}`;
  return [
    `export KUBERNETES_CONTAINER_RESOURCE_GPU="${gpus}"`,
    `${resumeSteps(spec)}cd "${folder}" && ${furtherArguments(spec)}${megatronLaunch(spec)}`,
  ].join('\n');
}

/**
 * What a schedule that goes on needs beyond the script's positional arguments. The script calls torchrun, and of an option
 * given twice Megatron takes the last: so torchrun is a function that adds to the end. It is handed over as bash exports
 * functions, by a variable that any shell can set. The log line tells whether the script came by it.
 */
function furtherArguments({ resume, hyperParameters }: CptRunSpec): string {
  if (resume?.schedule === undefined) return '';
  const added = scheduleArguments(resume.schedule, hyperParameters.learning_rate).join(' ');
  const body = `() { echo "pai-cpt: torchrun is given ${added}"; command torchrun "$@" ${added}; }`;
  return `env 'BASH_FUNC_torchrun%%=${body}' `;
}

function launchArguments(spec: CptRunSpec): LaunchArguments {
  const hyper = spec.hyperParameters;
  const { tensorParallelSize, pipelineParallelSize, contextParallelSize } = parallelOf(spec);
  return {
    ENV: 'dlc',
    MODEL_SIZE: MODELS[spec.model].size,
    BATCH_SIZE: hyper.batch_size,
    GLOBAL_BATCH_SIZE: hyper.global_batch_size,
    LR: hyper.learning_rate,
    MIN_LR: hyper.min_learning_rate,
    SEQ_LEN: hyper.sequence_length,
    PAD_LEN: hyper.pad_length,
    PR: 'bf16',
    TP: tensorParallelSize,
    PP: pipelineParallelSize,
    CP: contextParallelSize,
    ETP: 1,
    EP: 1,
    // The scripts add --tp-comm-overlap when TP > 1, and Megatron then insists on sequence parallelism.
    SP: tensorParallelSize > 1,
    DO: true,
    FL: true,
    SFT: false,
    AC: 'sel',
    OPTIMIZER_OFFLOAD: 'false',
    SAVE_INTERVAL: hyper.save_interval,
    DATASET_PATH: spec.data.train,
    VALID_DATASET_PATH: spec.data.validation ?? spec.data.train,
    PRETRAIN_CHECKPOINT_PATH: checkpointToLoad(spec) ?? 'none',
    TRAIN_TOKENS: hyper.train_tokens,
    WARMUP_TOKENS: hyper.warmup_tokens,
    OUTPUT_BASEPATH: spec.output.mountPath.replace(/\/$/, ''),
  };
}

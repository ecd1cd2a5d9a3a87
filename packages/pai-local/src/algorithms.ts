/** A hyper-parameter as an AlgorithmSpec defines it; every value in it is text, as in the API. */
export interface HyperParameterDefinition {
  readonly Name: string;
  readonly DisplayName?: string;
  readonly Description?: string;
  readonly Type: 'Int' | 'Float' | 'String';
  readonly Required: boolean;
  readonly DefaultValue?: string;
  readonly Range?: Readonly<{
    Enum?: readonly string[];
    Minimum?: string;
    Maximum?: string;
    ExclusiveMinimum?: boolean;
    ExclusiveMaximum?: boolean;
    MinLength?: number;
    MaxLength?: number;
    Pattern?: string;
  }>;
}

/** A place for data in an AlgorithmSpec. */
export interface ChannelDefinition {
  readonly Name: string;
  readonly Description?: string;
  readonly Required: boolean;
  readonly SupportedChannelTypes: readonly string[];
}

/** How an algorithm runs: the part of PAI's AlgorithmSpec that is used here. */
export interface AlgorithmSpec {
  readonly Image: string;
  readonly Command: readonly string[];
  readonly JobType: string;
  readonly HyperParameters: readonly HyperParameterDefinition[];
  readonly InputChannels: readonly ChannelDefinition[];
  readonly OutputChannels: readonly ChannelDefinition[];
  readonly MetricDefinitions: readonly {
    readonly Name: string;
    readonly Regex: string;
    readonly Description?: string;
  }[];
  readonly SupportsDistributedTraining: boolean;
}

/** A published algorithm; it has one version here. */
export interface Algorithm {
  readonly id: string;
  readonly name: string;
  readonly displayName: string;
  readonly version: string;
  readonly spec: AlgorithmSpec;
}

/** Everything published here comes from PAI itself. */
export const PROVIDER = 'pai';

const whole = (name: string, value: string, minimum: string, description: string): HyperParameterDefinition => ({
  ...{ Name: name, Type: 'Int', Required: true, DefaultValue: value, Range: { Minimum: minimum } },
  ...{ DisplayName: name, Description: description },
});
const rate = (name: string, value: string, description: string, isOpen: boolean): HyperParameterDefinition => ({
  ...{ Name: name, Type: 'Float', Required: true, DefaultValue: value, DisplayName: name, Description: description },
  Range: { Minimum: '0', ...(isOpen && { ExclusiveMinimum: true }), Maximum: '1' },
});

/** The hyper-parameters of PAI-QuickStart's continued pre-training: its names, defaults and types. */
const hyperParameters = (jobName: string): HyperParameterDefinition[] => [
  {
    ...{ Name: 'job_name', DisplayName: 'job_name', Type: 'String', Required: true, DefaultValue: jobName },
    ...{ Description: 'Kind of training job; it is not to be changed.', Range: { Enum: [jobName] } },
  },
  whole('batch_size', '1', '1', 'Samples per GPU and iteration.'),
  whole('global_batch_size', '32', '1', 'Samples over all GPUs and iteration.'),
  rate('learning_rate', '5e-5', 'Peak learning rate.', true),
  rate('min_learning_rate', '5e-6', 'Floor of the learning rate.', false),
  whole('sequence_length', '1024', '1', 'Tokens per sample.'),
  whole('pad_length', '128', '0', 'Padding length of a sequence.'),
  whole('save_interval', '1000', '1', 'Iterations between checkpoints.'),
  whole('train_tokens', '1638400', '1', 'Tokens in all.'),
  whole('warmup_tokens', '163840', '0', 'Tokens of the warm-up.'),
];

/**
 * The launch script with its 26 arguments, from what Studio passes to a container: PAI_HPS_<NAME> for a hyper-parameter,
 * PAI_INPUT_<CHANNEL> and PAI_OUTPUT_<CHANNEL> for a folder.
 */
const command = (size: string, tensor: number, pipeline: number): string[] => {
  const hyper = (...names: string[]) => names.map((name) => `"$PAI_HPS_${name}"`).join(' ');
  const script = [
    `cd "\${PAI_MEGATRON_PATCH:-/workspace/Pai-Megatron-Patch}/examples/qwen2"`,
    [
      `exec bash run_mcore_qwen.sh dlc ${size}`,
      hyper('BATCH_SIZE', 'GLOBAL_BATCH_SIZE', 'LEARNING_RATE', 'MIN_LEARNING_RATE', 'SEQUENCE_LENGTH', 'PAD_LENGTH'),
      `bf16 ${tensor} ${pipeline} 1 1 ${tensor > 1} true true false sel false`,
      hyper('SAVE_INTERVAL'),
      `"$PAI_INPUT_TRAIN/dataset" "\${PAI_INPUT_VALIDATION:-$PAI_INPUT_TRAIN}/dataset" "\${PAI_INPUT_MODEL:-none}"`,
      hyper('TRAIN_TOKENS', 'WARMUP_TOKENS'),
      '"$PAI_OUTPUT_OUTPUT"',
    ].join(' '),
  ];
  return ['/bin/bash', '-c', script.join(' && ')];
};

const channel = (name: string, isRequired: boolean, types: string[], description: string): ChannelDefinition => ({
  ...{ Name: name, Description: description, Required: isRequired, SupportedChannelTypes: types },
});

const spec = (jobName: string, image: string, size: string, tensor: number, pipeline: number): AlgorithmSpec => ({
  Image: image,
  Command: command(size, tensor, pipeline),
  JobType: 'PyTorchJob',
  HyperParameters: hyperParameters(jobName),
  InputChannels: [
    channel('model', false, ['nas', 'oss'], 'Megatron checkpoint to start from.'),
    channel('train', true, ['nas', 'oss'], 'Folder with dataset.bin and dataset.idx.'),
    channel('validation', false, ['nas', 'oss'], 'Folder with dataset.bin and dataset.idx.'),
  ],
  OutputChannels: [channel('output', true, ['nas'], 'NAS data set; checkpoints land in its sub-folder "checkpoint".')],
  MetricDefinitions: [
    { Name: 'lm loss', Regex: 'lm loss: ([0-9.]+E[+-][0-9]+)' },
    { Name: 'grad norm', Regex: 'grad norm: ([0-9.]+)' },
    { Name: 'learning rate', Regex: 'learning rate: ([0-9.]+E[+-][0-9]+)' },
  ],
  SupportsDistributedTraining: true,
});

/** The published algorithms: continued pre-training of the guide's model, and of one that a machine without GPUs trains. */
export const ALGORITHMS: readonly Algorithm[] = [
  {
    ...{ id: 'algo-qwen2-72b-cpt', name: 'qwen2_72b_megatron_cpt', displayName: 'Qwen2-72B CPT', version: 'v0.0.1' },
    spec: spec('qwen2-72b-cpt', 'pai-local/tiny-megatron:1.0', '72B', 8, 4),
  },
  {
    ...{ id: 'algo-qwen2-tiny-cpt', name: 'qwen2_tiny_megatron_cpt', displayName: 'Qwen2-Tiny CPT', version: 'v0.0.1' },
    spec: spec('qwen2-tiny-cpt', 'pai-local/tiny-megatron:1.0', 'tiny', 1, 2),
  },
];

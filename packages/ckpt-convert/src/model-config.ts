import { FormatError, InvalidInputError } from '@pai-cpt/core';
import type { PickleValue } from '@pai-cpt/torch-checkpoint';
import type { FamilyName } from './families/index.ts';
import { describeRopeScaling, type RopeScaling, ropeScalingOfArgs, ropeScalingOfConfig } from './rope-scaling.ts';

/** Sizes of a dense decoder, in the words of neither format. */
export interface ModelConfig {
  readonly family: FamilyName;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly ffnHiddenSize: number;
  readonly heads: number;
  /** Groups of query heads that share one key and one value head; equal to `heads` without grouping. */
  readonly queryGroups: number;
  readonly headDim: number;
  /** Rows of the embedding that are tokens, without padding. */
  readonly vocabSize: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling?: RopeScaling;
  /** True when the head is the embedding itself. */
  readonly isTied: boolean;
  readonly hasQkvBias: boolean;
  readonly maxPositionEmbeddings?: number;
}

/** Fields of Megatron's `args` Namespace. */
export type ArgsNamespace = ReadonlyMap<string, PickleValue>;

/** A parsed config.json. */
export type HfConfig = Readonly<Record<string, unknown>>;

/** What the tensors themselves say, whatever `args` and config.json claim. */
export interface DiskFacts {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly ffnHiddenSize: number;
  readonly paddedVocabSize: number;
  /** Rows of the global linear_qkv, (heads + 2 · groups) · head dim. */
  readonly qkvRows: number;
  /** Columns of the global linear_proj, heads · head dim. */
  readonly projColumns: number;
  /** Elements of a query norm; undefined where the model has none. */
  readonly queryNormSize?: number;
  readonly hasOutputLayer: boolean;
}

/** An integer or float of `args`; undefined when absent, None or of another type. */
export function numberArg(args: ArgsNamespace | undefined, name: string): number | undefined {
  const value = args?.get(name);
  return typeof value === 'number' ? value : undefined;
}

/**
 * Attention sizes by `args`, whose defaults mislead: `num_query_groups` is 1 while `group_query_attention` is off, which means
 * as many groups as heads; `kv_channels` may be None, which means hidden / heads.
 */
export function attentionByArgs(args: ArgsNamespace): Attention | undefined {
  const heads = numberArg(args, 'num_attention_heads');
  const hidden = numberArg(args, 'hidden_size');
  const headDim = numberArg(args, 'kv_channels') ?? (heads && hidden ? hidden / heads : undefined);
  if (heads === undefined || headDim === undefined) return undefined;
  const isGrouped = args.get('group_query_attention') === true;
  const queryGroups = isGrouped ? (numberArg(args, 'num_query_groups') ?? heads) : heads;
  return { heads, queryGroups, headDim };
}

export interface Attention {
  readonly heads: number;
  readonly queryGroups: number;
  readonly headDim: number;
}

function attentionByConfig(config: HfConfig): Attention | undefined {
  const heads = numberField(config, 'num_attention_heads');
  const hidden = numberField(config, 'hidden_size');
  const headDim = numberField(config, 'head_dim') ?? (heads && hidden ? hidden / heads : undefined);
  if (heads === undefined || headDim === undefined) return undefined;
  return { heads, queryGroups: numberField(config, 'num_key_value_heads') ?? heads, headDim };
}

function numberField(config: HfConfig | undefined, name: string): number | undefined {
  const value = config?.[name];
  return typeof value === 'number' ? value : undefined;
}

/** The base of the rotary frequencies; transformers 5 moved it below `rope_parameters`. */
export function ropeThetaOf(config: HfConfig | undefined): number | undefined {
  const nested = config?.rope_parameters;
  const inner = typeof nested === 'object' && nested !== null ? (nested as HfConfig) : undefined;
  return numberField(config, 'rope_theta') ?? numberField(inner, 'rope_theta');
}

export interface ModelConfigInput {
  readonly family: FamilyName;
  readonly hasQkvBias: boolean;
  readonly disk: DiskFacts;
  readonly args: ArgsNamespace | undefined;
  readonly reference: HfConfig | undefined;
  /** `--vocab-size`. */
  readonly vocabSize: number | undefined;
  /** Names the checkpoint in messages. */
  readonly directory: string;
}

/**
 * The model's sizes, from the tensors where they tell, then from the reference config.json, then from `args`; each disagreement
 * becomes a line of `problems`. Heads, groups and head dim cannot be told from shapes (4 heads, 2 groups, head dim 2 and
 * 2, 1, 4 have the same tensors), so they are taken from the first source that fits the shapes.
 * @throws InvalidInputError `CPT_CONFIG_MODEL`, `CPT_CONFIG_VOCAB_SIZE`, FormatError `CPT_FORMAT_SHAPE_MISMATCH`,
 * `CPT_FORMAT_PIPELINE_LAYERS`.
 */
export function resolveModelConfig(input: ModelConfigInput): { model: ModelConfig; problems: string[] } {
  const { family, hasQkvBias, disk, args, reference, directory } = input;
  const problems: string[] = [];
  requireLayers(input);
  reportSizes(input, problems);
  const attention = chooseAttention(input, problems);
  const normEpsilon = pick(
    problems,
    'norm epsilon',
    numberField(reference, 'rms_norm_eps'),
    numberArg(args, 'norm_epsilon') ?? numberArg(args, 'layernorm_epsilon'),
  );
  const ropeTheta = pick(problems, 'rotary base', ropeThetaOf(reference), numberArg(args, 'rotary_base'));
  if (normEpsilon === undefined || ropeTheta === undefined) {
    const name = normEpsilon === undefined ? 'norm_epsilon (rms_norm_eps)' : 'rotary_base (rope_theta)';
    throw new InvalidInputError('CPT_CONFIG_MODEL', `${directory}: no ${name}; pass --reference with a config.json`);
  }
  const ropeScaling = chooseRopeScaling(input, problems);
  const maxPositionEmbeddings =
    numberField(reference, 'max_position_embeddings') ?? numberArg(args, 'max_position_embeddings');
  const model: ModelConfig = {
    family,
    layers: disk.layers,
    hiddenSize: disk.hiddenSize,
    ffnHiddenSize: disk.ffnHiddenSize,
    ...attention,
    vocabSize: chooseVocabSize(input, problems),
    normEpsilon,
    ropeTheta,
    isTied: chooseTie(input, problems),
    hasQkvBias,
    ...(maxPositionEmbeddings === undefined ? {} : { maxPositionEmbeddings }),
    ...(ropeScaling && { ropeScaling }),
  };
  return { model, problems };
}

/** No tensor tells it, so the reference is followed where there is one, as for the other constants. */
function chooseRopeScaling({ args, reference }: ModelConfigInput, problems: string[]): RopeScaling | undefined {
  const byArgs = ropeScalingOfArgs(args);
  if (!reference) return byArgs;
  const { kind, scaling } = ropeScalingOfConfig(reference);
  const known = scaling || kind === 'default';
  const [claimed, trained] = [known ? describeRopeScaling(scaling) : kind, describeRopeScaling(byArgs)];
  if (args && claimed !== trained) {
    problems.push(`rotary scaling: the reference says ${claimed}, args say ${trained}; the reference was followed`);
  }
  return scaling;
}

function requireLayers({ disk, args, reference, directory }: ModelConfigInput): void {
  const claims = [
    ['args.num_layers', numberArg(args, 'num_layers')],
    ['num_hidden_layers of the reference', numberField(reference, 'num_hidden_layers')],
  ] as const;
  for (const [name, claimed] of claims) {
    if (claimed === undefined || claimed === disk.layers) continue;
    throw new FormatError(
      'CPT_FORMAT_PIPELINE_LAYERS',
      `${directory}: the pipeline stages hold ${disk.layers} layers, ${name} is ${claimed}; a stage is missing or belongs to another run`,
      { file: directory },
    );
  }
}

function reportSizes({ disk, args, reference }: ModelConfigInput, problems: string[]): void {
  const claims = [
    ['hidden size', disk.hiddenSize, numberField(reference, 'hidden_size'), numberArg(args, 'hidden_size')],
    ['ffn size', disk.ffnHiddenSize, numberField(reference, 'intermediate_size'), numberArg(args, 'ffn_hidden_size')],
    ['padded vocabulary', disk.paddedVocabSize, undefined, numberArg(args, 'padded_vocab_size')],
  ] as const;
  for (const [name, found, byReference, byArgs] of claims) {
    if (byReference !== undefined && byReference !== found) {
      problems.push(`${name}: the tensors have ${found}, the reference says ${byReference}; the tensors were followed`);
    }
    if (byArgs !== undefined && byArgs !== found) {
      problems.push(`${name}: the tensors have ${found}, args say ${byArgs}; the tensors were followed`);
    }
  }
}

function chooseAttention({ disk, args, reference, directory }: ModelConfigInput, problems: string[]): Attention {
  const candidates = [
    ['the reference', reference && attentionByConfig(reference)],
    ['args', args && attentionByArgs(args)],
  ] as const;
  const known = candidates.filter(([, attention]) => attention !== undefined) as [string, Attention][];
  const fitting = known.find(([, attention]) => fits(attention, disk));
  if (!fitting) {
    const sizes = `linear_qkv has ${disk.qkvRows} rows and linear_proj ${disk.projColumns} columns`;
    if (known.length === 0) {
      throw new InvalidInputError(
        'CPT_CONFIG_MODEL',
        `${directory}: the files carry no args and ${sizes}, which does not tell the heads; pass --reference with a config.json`,
      );
    }
    const tried = known.map(([name, attention]) => `${name}: ${describeAttention(attention)}`).join('; ');
    throw new FormatError('CPT_FORMAT_SHAPE_MISMATCH', `${directory}: ${sizes}, which fits none of: ${tried}`, {
      file: directory,
    });
  }
  for (const [name, attention] of known) {
    if (describeAttention(attention) === describeAttention(fitting[1])) continue;
    const [followed, other] = [fitting[1], attention].map(describeAttention);
    problems.push(`attention: ${followed} of ${fitting[0]} was followed, not ${other} of ${name}`);
  }
  return fitting[1];
}

function fits({ heads, queryGroups, headDim }: Attention, disk: DiskFacts): boolean {
  return (
    heads % queryGroups === 0 &&
    (heads + 2 * queryGroups) * headDim === disk.qkvRows &&
    heads * headDim === disk.projColumns &&
    (disk.queryNormSize === undefined || disk.queryNormSize === headDim)
  );
}

function describeAttention({ heads, queryGroups, headDim }: Attention): string {
  const rows = (heads + 2 * queryGroups) * headDim;
  return `(${heads} heads + 2 × ${queryGroups} groups) × head dim ${headDim} = ${rows} rows`;
}

function chooseVocabSize(input: ModelConfigInput, problems: string[]): number {
  const { disk, args, reference, directory } = input;
  // A NullTokenizer gives its end of document the id after the last one that `vocab_size` counts.
  const extra = args?.get('tokenizer_type') === 'NullTokenizer' ? 1 : 0;
  const byArgs = numberArg(args, 'vocab_size');
  const candidates = [
    ['--vocab-size', input.vocabSize],
    ['vocab_size of the reference', numberField(reference, 'vocab_size')],
    ['args.vocab_size', byArgs === undefined ? undefined : byArgs + extra],
  ] as const;
  const [name, size] = candidates.find(([, value]) => value !== undefined) ?? [];
  if (size === undefined) {
    problems.push(
      `vocabulary: nothing tells how many of the ${disk.paddedVocabSize} rows are tokens; all are kept (see --vocab-size)`,
    );
    return disk.paddedVocabSize;
  }
  if (Number.isSafeInteger(size) && size > 0 && size <= disk.paddedVocabSize) return size;
  throw new InvalidInputError(
    'CPT_CONFIG_VOCAB_SIZE',
    `${directory}: ${name} is ${size}, the embedding has ${disk.paddedVocabSize} rows; rows are never invented, check which model this is`,
  );
}

/**
 * Whether the head is the embedding. An output table on disk is a tied model's copy only where `args` say tied: Pai's launchers
 * untie small models as soon as there is a pipeline, and dropping their output table would lose trained weights, while
 * storing it as `lm_head` of a config that says tied would overwrite the embedding on load.
 */
function chooseTie({ disk, args, reference, directory }: ModelConfigInput, problems: string[]): boolean {
  const untie = args?.get('untie_embeddings_and_output_weights') ?? undefined;
  const claimed = reference?.tie_word_embeddings;
  const isTied = untie === undefined ? !disk.hasOutputLayer : untie !== true;
  if (!disk.hasOutputLayer && (untie === true || (untie === undefined && claimed === false))) {
    throw new FormatError(
      'CPT_FORMAT_RANK_FILE',
      `${directory}: the embeddings are untied and no rank file of the last stage has "output_layer.weight"`,
      { file: directory },
    );
  }
  if (typeof claimed === 'boolean' && claimed !== isTied) {
    const found = isTied ? 'tied' : 'two tables';
    problems.push(`embeddings: ${found} in the files, tie_word_embeddings is ${claimed}; the files were followed`);
  }
  return isTied;
}

function pick(
  problems: string[],
  name: string,
  byReference: number | undefined,
  byArgs: number | undefined,
): number | undefined {
  if (byReference !== undefined && byArgs !== undefined && byReference !== byArgs) {
    problems.push(`${name}: the reference says ${byReference}, args say ${byArgs}; the reference was followed`);
  }
  return byReference ?? byArgs;
}

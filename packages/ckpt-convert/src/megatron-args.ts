import type { Dtype } from '@pai-cpt/core';
import { float, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { FAMILIES, type ModelFamily } from './families/index.ts';
import type { ModelConfig } from './model-config.ts';
import type { RankGrid } from './rank-grid.ts';
import type { LayerSpec } from './rank-plan.ts';
import { argsOfRopeScaling, type RopeScaling } from './rope-scaling.ts';

export interface ArgsInput {
  readonly model: ModelConfig;
  readonly grid: RankGrid;
  readonly spec: LayerSpec;
  readonly paddedVocabSize: number;
  readonly vocabMultiple: number;
  readonly dtype: Dtype;
  readonly iteration: number;
}

/**
 * The `args` Namespace of a rank file: what Megatron compares or takes over on load, and what a converter needs. No enum is in
 * it, because `torch.load(weights_only=True)` refuses classes it does not know. `vocab_size` is the size without padding.
 */
export function argsOf(input: ArgsInput): Record<string, WritableValue> {
  const { model, grid, spec, paddedVocabSize, vocabMultiple, dtype, iteration } = input;
  const { virtualStages = 1 } = grid;
  const family: ModelFamily = FAMILIES[model.family];
  const positions = model.maxPositionEmbeddings ?? null;
  const perChunk = virtualStages > 1 ? model.layers / (grid.pipelineParallelSize * virtualStages) : undefined;
  return {
    num_layers: model.layers,
    hidden_size: model.hiddenSize,
    ffn_hidden_size: model.ffnHiddenSize,
    num_attention_heads: model.heads,
    kv_channels: model.headDim,
    group_query_attention: model.queryGroups !== model.heads,
    num_query_groups: model.queryGroups,
    vocab_size: model.vocabSize,
    padded_vocab_size: paddedVocabSize,
    make_vocab_size_divisible_by: vocabMultiple,
    max_position_embeddings: positions,
    seq_length: positions,
    swiglu: true,
    add_bias_linear: false,
    add_qkv_bias: model.hasQkvBias,
    qk_layernorm: family.hasQkNorm,
    normalization: 'RMSNorm',
    norm_epsilon: float(model.normEpsilon),
    apply_layernorm_1p: false,
    untie_embeddings_and_output_weights: !model.isTied,
    add_position_embedding: true,
    position_embedding_type: 'rope',
    rotary_base: Number.isInteger(model.ropeTheta) ? model.ropeTheta : float(model.ropeTheta),
    rotary_percent: float(1),
    rotary_interleaved: false,
    ...ropeArgs(model.ropeScaling),
    num_experts: null,
    multi_latent_attention: false,
    mtp_num_layers: null,
    tensor_model_parallel_size: grid.tensorParallelSize,
    pipeline_model_parallel_size: grid.pipelineParallelSize,
    virtual_pipeline_model_parallel_size: virtualStages > 1 ? virtualStages : null,
    num_layers_per_virtual_pipeline_stage: Number.isInteger(perChunk) ? (perChunk as number) : null,
    decoder_first_pipeline_num_layers: grid.firstStageLayers ?? null,
    decoder_last_pipeline_num_layers: grid.lastStageLayers ?? null,
    account_for_embedding_in_pipeline_split: false,
    account_for_loss_in_pipeline_split: false,
    context_parallel_size: 1,
    expert_model_parallel_size: 1,
    transformer_impl: spec === 'te' ? 'transformer_engine' : 'local',
    use_mcore_models: true,
    ckpt_format: 'torch',
    params_dtype: { kind: 'dtype', dtype },
    bf16: dtype === 'BF16',
    fp16: dtype === 'F16',
    iteration,
  };
}

/** Factors are floats in Python, whatever their value. */
function ropeArgs(scaling: RopeScaling | undefined): Record<string, WritableValue> {
  const { rotary_seq_len_interpolation_factor: interpolation, ...args } = argsOfRopeScaling(scaling);
  return {
    ...args,
    rope_scaling_factor: float(args.rope_scaling_factor),
    rotary_seq_len_interpolation_factor: interpolation === null ? null : float(interpolation),
  };
}

import { FormatError } from '@pai-cpt/core';
import type { MegatronParameter, OpenCheckpointOptions, ParallelLayout } from './checkpoint.ts';
import { FAMILIES, type FamilyName, familiesOf, isFamilyName } from './families/index.ts';
import { matrixSize } from './mapping.ts';
import { type ArgsNamespace, type DiskFacts, type ModelConfig, numberArg, resolveModelConfig } from './model-config.ts';
import { layersByArgs } from './pipeline-layout.ts';
import { refusal } from './unsupported-features.ts';

export interface CatalogueInput {
  readonly directory: string;
  readonly parameters: readonly MegatronParameter[];
  readonly parallel: ParallelLayout;
  readonly layersPerStage: readonly number[];
  readonly args: ArgsNamespace | undefined;
}

/** The model behind a catalogue of parameters with global names, and what disagreed; the same for every format. */
export function describeModel(input: CatalogueInput, options: OpenCheckpointOptions) {
  const { directory, args } = input;
  const disk = diskFacts(input);
  const families = chooseFamilies(input.parameters, options, directory);
  const family = families[0] as FamilyName;
  const { model, problems } = resolveModelConfig({
    family,
    hasQkvBias: FAMILIES[family].hasQkvBias,
    disk,
    args,
    reference: options.reference,
    vocabSize: options.vocabSize,
    directory,
  });
  const modelConfig: ModelConfig = model;
  return {
    modelConfig,
    families,
    paddedVocabSize: disk.paddedVocabSize,
    problems: [...describeSplit(input), ...problems],
  };
}

function diskFacts({ parameters, layersPerStage, parallel, directory }: CatalogueInput): DiskFacts {
  const ranks = parallel.tensorParallelSize;
  const byName = new Map(parameters.map((parameter) => [parameter.megatronName, parameter]));
  const shapeOf = (name: string): [number, number] => {
    const shard = byName.get(name)?.shards[0];
    if (shard) return matrixSize(shard.shape);
    throw new FormatError('CPT_FORMAT_RANK_FILE', `${directory}: no rank file has "${name}"; is this a whole model?`, {
      file: directory,
      tensor: name,
    });
  };
  const [vocabRows, hiddenSize] = shapeOf('embedding.word_embeddings.weight');
  const queryNorm = byName.get('decoder.layers.0.self_attention.q_layernorm.weight')?.shards[0]?.shape[0];
  return {
    layers: layersPerStage.reduce((sum, layers) => sum + layers, 0),
    hiddenSize,
    ffnHiddenSize: (shapeOf('decoder.layers.0.mlp.linear_fc1.weight')[0] * ranks) / 2,
    paddedVocabSize: vocabRows * ranks,
    qkvRows: shapeOf('decoder.layers.0.self_attention.linear_qkv.weight')[0] * ranks,
    projColumns: shapeOf('decoder.layers.0.self_attention.linear_proj.weight')[1] * ranks,
    ...(queryNorm === undefined ? {} : { queryNormSize: queryNorm }),
    hasOutputLayer: byName.has('output_layer.weight'),
  };
}

/** The reference's family, or those that the names allow; a reference of the wrong family fails later, by its names. */
function chooseFamilies(
  parameters: readonly MegatronParameter[],
  { reference }: OpenCheckpointOptions,
  directory: string,
): FamilyName[] {
  const claimed = reference?.model_type;
  if (isFamilyName(claimed)) return [claimed];
  const known = Object.keys(FAMILIES).join(', ');
  if (claimed !== undefined) {
    throw refusal(directory, `model_type ${JSON.stringify(claimed)} of the reference`, `known are ${known}`);
  }
  const families = familiesOf(parameters.map(({ megatronName }) => megatronName));
  if (families.length > 0) return families;
  throw refusal(directory, 'a QKV bias together with query norms', `known families are ${known}`);
}

/** A line when `args` describe another split than the stages hold; counting is right either way. */
function describeSplit({ args, layersPerStage, parallel }: CatalogueInput): string[] {
  const stages = parallel.pipelineParallelSize;
  if ((numberArg(args, 'pipeline_model_parallel_size') ?? stages) !== stages) return []; // global tensors: there is no split
  const claimed = args && layersByArgs(args, stages, parallel.virtualStages);
  if (!claimed || claimed.every((layers, stage) => layers === layersPerStage[stage])) return [];
  return [
    `layers per pipeline stage: the files hold ${layersPerStage.join(' + ')}, args say ${claimed.join(' + ')}; the files were followed`,
  ];
}

import { FormatError, MappingError, type Shape } from '@pai-cpt/core';
import type { MegatronCheckpoint, MegatronParameter } from './checkpoint.ts';
import { FAMILIES, LOCAL_SPEC_NAMES, type ModelFamily } from './families/index.ts';
import { hfShape, type Mapping, matchName, nameAt, shardShape } from './mapping.ts';
import type { ModelConfig } from './model-config.ts';

/** A parameter with its row of the family table and the concrete names it becomes. */
export interface ResolvedParameter {
  readonly parameter: MegatronParameter;
  readonly mapping: Mapping;
  readonly outputs: readonly { readonly hfName: string; readonly shape: Shape }[];
}

export interface Resolution {
  /** In the order of the model: embedding, layers ascending, final norm, head. */
  readonly parameters: readonly ResolvedParameter[];
  /** Buffers beside the table that must be all zero to be left out: biases of norms that have none. */
  readonly mustBeZero: readonly MegatronParameter[];
  /** The output table of a tied model, which must equal the embedding. */
  readonly tiedCopy: MegatronParameter | undefined;
}

const TIED_COPY = 'output_layer.weight';

/** The name in a Transformer Engine checkpoint, which the tables use, of a name of either layer spec. */
export function canonicalName(name: string): string {
  for (const [local, canonical] of Object.entries(LOCAL_SPEC_NAMES)) {
    const layer = matchName(local, name);
    if (layer !== undefined) return nameAt(canonical, layer);
  }
  return name;
}

/** True for what a rank file holds beside weights. */
export function isIgnoredName(name: string): boolean {
  return name.endsWith('._extra_state') || /rotary_(pos_)?emb\.inv_freq$/.test(name);
}

/** True for the bias of a norm, which RMSNorm does not have; some versions store one of zeros. */
function isNormBias(name: string): boolean {
  return name.endsWith('.layer_norm_bias') || /(layernorm|layer_norm)\.bias$/.test(name);
}

/**
 * Each parameter with its mapping: every Megatron name matched by exactly one row, and every Hugging Face name of the family
 * produced exactly once. The fault of a conversion that skips what it does not know is a model that loads and is wrong.
 * @throws MappingError `CPT_MAPPING_NAMES` with all names that do not match, once.
 */
export function resolveParameters(checkpoint: MegatronCheckpoint): Resolution {
  const { modelConfig: model, directory } = checkpoint;
  const family: ModelFamily = FAMILIES[model.family];
  const faults: string[] = [];
  const found = new Map<string, ResolvedParameter>();
  const mustBeZero: MegatronParameter[] = [];
  let tiedCopy: MegatronParameter | undefined;
  for (const parameter of checkpoint.parameters()) {
    const name = parameter.megatronName;
    if (isNormBias(name)) mustBeZero.push(parameter);
    else if (name === TIED_COPY && model.isTied) tiedCopy = parameter;
    else {
      const other = found.get(name)?.parameter.localName;
      if (other) faults.push(`"${name}" is there twice, as "${other}" and as "${parameter.localName}" of one stage`);
      const resolved = resolveParameter(parameter, family, model);
      if (resolved) found.set(name, resolved);
      else faults.push(`"${name}" is in no row of ${family.modelType}`);
    }
  }
  const wanted = expectedNames(family, model);
  for (const name of wanted) if (!found.has(name)) faults.push(`"${name}" is missing`);
  if (faults.length > 0) {
    throw new MappingError(
      'CPT_MAPPING_NAMES',
      `${directory}: ${faults.length} names do not fit ${family.modelType} with ${model.layers} layers: ${faults.join('; ')}`,
      { names: faults, file: directory },
    );
  }
  return { parameters: wanted.map((name) => found.get(name) as ResolvedParameter), mustBeZero, tiedCopy };
}

function resolveParameter(
  parameter: MegatronParameter,
  family: ModelFamily,
  model: ModelConfig,
): ResolvedParameter | undefined {
  for (const [pattern, mapping] of Object.entries(family.parameters)) {
    const layer = matchName(pattern, parameter.megatronName);
    if (layer === undefined || (layer !== 'none' && layer >= model.layers)) continue;
    return { parameter, mapping, outputs: outputsOf(mapping, layer, model) };
  }
  return undefined;
}

/** The concrete Hugging Face names and shapes that one row of a table stands for. */
export function outputsOf(mapping: Mapping, layer: number | 'none', model: ModelConfig) {
  return mapping.parameters.map((output) => ({
    hfName: nameAt(output.hfName, layer),
    shape: hfShape(output, model),
  }));
}

/** Every Megatron name of a model, in its order. */
export function expectedNames(family: ModelFamily, model: ModelConfig): string[] {
  return expectedRows(family, model).map(({ megatronName }) => megatronName);
}

/** Every row of the family's table at every layer: embedding, layers ascending, final norm, head unless it is tied. */
export function expectedRows(
  family: ModelFamily,
  model: ModelConfig,
): { megatronName: string; mapping: Mapping; layer: number | 'none' }[] {
  const rows = Object.entries(family.parameters);
  const perLayer = rows.filter(([pattern]) => pattern.includes('*'));
  const single = (name: string) => ({
    megatronName: name,
    mapping: family.parameters[name] as Mapping,
    layer: 'none' as const,
  });
  return [
    single('embedding.word_embeddings.weight'),
    ...Array.from({ length: model.layers }, (_, layer) =>
      perLayer.map(([pattern, mapping]) => ({ megatronName: nameAt(pattern, layer), mapping, layer })),
    ).flat(),
    single('decoder.final_layernorm.weight'),
    ...(model.isTied ? [] : [single(TIED_COPY)]),
  ];
}

/**
 * Proves that each shard has the shape which the model and the number of ranks ask for.
 * @throws FormatError `CPT_FORMAT_SHAPE_MISMATCH` naming file, tensor, and both shapes.
 */
export function checkShapes(checkpoint: MegatronCheckpoint, resolution: Resolution): void {
  const { modelConfig: model, paddedVocabSize, parallel } = checkpoint;
  const ranks = parallel.tensorParallelSize;
  const tied = resolution.tiedCopy;
  const embedding = resolution.parameters[0] as ResolvedParameter;
  const all = tied ? [...resolution.parameters, { ...embedding, parameter: tied }] : resolution.parameters;
  for (const { parameter, mapping } of all) {
    const wanted = shardShape(mapping, model, ranks, paddedVocabSize);
    for (const { shape, file } of parameter.shards) {
      if (shape.length === wanted.length && shape.every((size, axis) => size === wanted[axis])) continue;
      const attention = `${model.heads} heads, ${model.queryGroups} groups, head dim ${model.headDim}`;
      throw new FormatError(
        'CPT_FORMAT_SHAPE_MISMATCH',
        `${file}: "${parameter.localName}" is [${shape.join(', ')}]; ${model.family} with ${attention}, hidden ${model.hiddenSize}, ffn ${model.ffnHiddenSize} over TP ${ranks} needs [${wanted.join(', ')}]`,
        { file, tensor: parameter.localName },
      );
    }
  }
}

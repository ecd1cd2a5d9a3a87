import type { ModelConfig } from '../model-config.ts';
import type { RankGrid } from '../rank-grid.ts';
import type { LayerSpec } from '../rank-plan.ts';
import type { CheckpointFormat } from './plan-files.ts';

/** Megatron's arguments that must fit the files; there is no optimizer and no random state in them. */
export function loadFlags(input: {
  output: string;
  model: ModelConfig;
  grid: RankGrid;
  spec: LayerSpec;
  vocabMultiple: number;
  format: CheckpointFormat;
}): string[] {
  const { output, model, grid, spec, vocabMultiple, format } = input;
  const { tensorParallelSize, pipelineParallelSize, virtualStages = 1, firstStageLayers, lastStageLayers } = grid;
  const perChunk = model.layers / (pipelineParallelSize * virtualStages);
  const isEven = firstStageLayers === undefined && lastStageLayers === undefined;
  const virtual = isEven
    ? `--num-layers-per-virtual-pipeline-stage ${perChunk}`
    : `--num-virtual-stages-per-pipeline-rank ${virtualStages}`;
  return [
    `--load ${output}`,
    '--no-load-optim',
    '--no-load-rng',
    `--ckpt-format ${format}`,
    `--transformer-impl ${spec === 'te' ? 'transformer_engine' : 'local'}`,
    `--tensor-model-parallel-size ${tensorParallelSize}`,
    `--pipeline-model-parallel-size ${pipelineParallelSize}`,
    ...(virtualStages > 1 ? [virtual] : []),
    ...(firstStageLayers === undefined ? [] : [`--decoder-first-pipeline-num-layers ${firstStageLayers}`]),
    ...(lastStageLayers === undefined ? [] : [`--decoder-last-pipeline-num-layers ${lastStageLayers}`]),
    `--make-vocab-size-divisible-by ${vocabMultiple}`,
    ...(model.isTied ? [] : ['--untie-embeddings-and-output-weights']),
  ];
}

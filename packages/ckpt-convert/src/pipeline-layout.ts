import { FormatError } from '@pai-cpt/core';
import type { ArgsNamespace } from './model-config.ts';
import { numberArg } from './model-config.ts';

export interface PipelineLayout {
  readonly layersPerStage: readonly number[];
  /** Global number of each stage's local layer 0. */
  readonly firstLayer: readonly number[];
}

/**
 * The layers of each stage, counted from what the stage holds. Dividing the number of layers by the number of stages instead is
 * wrong for every uneven pipeline, and silently so where it divides: 6 layers as 1 + 4 + 1 over 3 stages.
 * @throws FormatError `CPT_FORMAT_PIPELINE_LAYERS` when local numbers are not 0, 1, 2, …
 */
export function countLayers(localLayers: readonly ReadonlySet<number>[], directory: string): PipelineLayout {
  const firstLayer: number[] = [];
  let next = 0;
  for (const [stage, layers] of localLayers.entries()) {
    const missing = Array.from({ length: layers.size }, (_, layer) => layer).filter((layer) => !layers.has(layer));
    if (missing.length > 0) {
      const held = [...layers].sort((a, b) => a - b).join(', ');
      throw new FormatError(
        'CPT_FORMAT_PIPELINE_LAYERS',
        `${directory}: pipeline stage ${stage} holds the layers ${held}; layer ${missing[0]} is missing, its names are cut off`,
        { file: directory },
      );
    }
    firstLayer.push(next);
    next += layers.size;
  }
  return { layersPerStage: localLayers.map((layers) => layers.size), firstLayer };
}

/**
 * What `args` say about the split into chunks, all stages' chunk 0 first; undefined where they describe it in a way that is not
 * interpreted here. The layers of an uneven stage are spread evenly over its virtual stages; an embedding or a loss that counts
 * as a layer makes the very first or last chunk one shorter.
 */
export function layersByArgs(args: ArgsNamespace, stages: number, virtualStages = 1): number[] | undefined {
  const layers = numberArg(args, 'num_layers');
  if (layers === undefined || typeof args.get('pipeline_model_parallel_layout') === 'string') return undefined;
  const first = numberArg(args, 'decoder_first_pipeline_num_layers');
  const last = numberArg(args, 'decoder_last_pipeline_num_layers');
  if (first !== undefined || last !== undefined) {
    const round = unevenEnds(layers, stages, first, last).map((held) => held / virtualStages);
    return Array.from({ length: virtualStages }, () => round).flat();
  }
  const extraFirst = args.get('account_for_embedding_in_pipeline_split') === true ? 1 : 0;
  const extraLast = args.get('account_for_loss_in_pipeline_split') === true ? 1 : 0;
  const chunks = stages * virtualStages;
  const each = (layers + extraFirst + extraLast) / chunks;
  const split = new Array<number>(chunks).fill(each);
  split[0] = (split[0] as number) - extraFirst;
  split[chunks - 1] = (split[chunks - 1] as number) - extraLast;
  return split;
}

function unevenEnds(layers: number, stages: number, first: number | undefined, last: number | undefined): number[] {
  const middleStages = stages - (first === undefined ? 0 : 1) - (last === undefined ? 0 : 1);
  const each = middleStages === 0 ? 0 : (layers - (first ?? 0) - (last ?? 0)) / middleStages;
  const split = new Array<number>(stages).fill(each);
  if (first !== undefined) split[0] = first;
  if (last !== undefined) split[stages - 1] = last;
  return split;
}

import type { WritableValue } from '@pai-cpt/torch-checkpoint';
import { planDistFiles } from '../dist-files/plan-dist-files.ts';
import type { GlobalParameter } from '../global-parameters.ts';
import { planRankFile, type RankPlanOptions } from '../rank-plan.ts';
import { allRanks, rankFilePath } from '../write-torch.ts';
import { rankFilePart, type TorchPart } from './torch-parts.ts';

/** Megatron's `--ckpt-format`. */
export type CheckpointFormat = 'torch' | 'torch_dist';

/** What an iteration's directory will hold, known before any tensor is read. Names are relative to it. */
export interface PlannedFiles {
  readonly files: readonly {
    readonly name: string;
    /** Files of one stage read the same rows. */
    readonly pipelineStage: number;
    readonly parts: readonly TorchPart[];
  }[];
  /** Small files beside them, in the order in which they are to appear. */
  readonly contents: readonly { readonly name: string; readonly content: string | Uint8Array }[];
}

/** The files of a checkpoint. `head` is what is not a tensor: `args` and so on. */
export async function planFiles(
  format: CheckpointFormat,
  options: RankPlanOptions,
  parameters: ReadonlyMap<string, GlobalParameter>,
  head: readonly (readonly [string, WritableValue])[],
): Promise<PlannedFiles> {
  if (format === 'torch_dist') return planDistFiles(options, parameters, head);
  const files = allRanks(options.grid).map(({ tensorRank, pipelineStage }) => ({
    name: rankFilePath('', tensorRank, pipelineStage, options.grid),
    pipelineStage,
    parts: [rankFilePart(planRankFile(options, parameters, tensorRank, pipelineStage), head)],
  }));
  return { files, contents: [] };
}

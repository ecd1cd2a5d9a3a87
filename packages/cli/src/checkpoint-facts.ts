import { inspectCheckpoint, openMegatronCheckpoint } from '@pai-cpt/ckpt-convert';
import { CptError } from '@pai-cpt/core';
import type { PlanFacts } from '@pai-cpt/sdk';

/** What says that the files are no checkpoint, or none that is whole; other errors are of the caller's making. */
const isDamage = (error: unknown): error is CptError =>
  CptError.isInstance(error) && /^CPT_(FORMAT|PICKLE|ZIP|UNSUPPORTED)_|^CPT_INPUT_CHECKPOINT_MISSING$/.test(error.code);

/** What a plan needs to know of a base checkpoint, read from its headers alone. */
export async function checkpointFacts(path: string): Promise<NonNullable<PlanFacts['baseCheckpoint']>> {
  try {
    const { format, tensorParallelSize, pipelineParallelSize, model, ...found } = await inspectCheckpoint(path);
    const checkpoint = await openMegatronCheckpoint(path);
    await checkpoint.close();
    // What disagreed without making it wrong is not a reason to refuse it.
    const problems = found.problems.filter((problem) => !checkpoint.problems.includes(problem));
    const { layers, hiddenSize, ffnHiddenSize, heads, queryGroups } = model;
    const parameters = found.parameters.reduce(
      (sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1),
      0,
    );
    return {
      ...{ tensorParallelSize, pipelineParallelSize, isDistributed: format === 'torch_dist' },
      ...{ layers, hiddenSize, ffnHiddenSize, heads, queryGroups, parameters },
      paddedVocabSize: found.paddedVocabSize,
      dtypes: [...new Set(found.parameters.map(({ dtype }) => dtype))],
      ...(problems.length > 0 && { problems }),
      source: `headers of ${found.directory}`,
    };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { problems: [error.message], source: path };
  }
}

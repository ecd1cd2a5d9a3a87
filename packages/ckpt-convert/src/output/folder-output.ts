import { buildIndex, INDEX_FILE } from '@pai-cpt/safetensors';
import type { DigestKind } from '../digest/digests.ts';
import { executePlan } from '../execute.ts';
import type { ConversionPlan } from '../plan.ts';
import type { ThreadTask } from '../threads/messages.ts';
import { executeInThreads } from '../threads/node.ts';
import { planDigest, sourcePaths } from './journal.ts';
import type { OutputJob } from './output-job.ts';
import { isWeights } from './same-output.ts';

/** The weights of a Hugging Face folder as an output; `task` is from what a thread plans them again. */
export function folderOutput(
  { outputShards }: ConversionPlan,
  task: ThreadTask,
  { workers, digest }: { workers: number; digest: DigestKind },
): Pick<OutputJob, 'plan' | 'sourceFiles' | 'weights' | 'make' | 'final' | 'isStale'> {
  const plan = planDigest(outputShards, task.source);
  const [first] = outputShards;
  const isSingle = outputShards.length === 1 && first !== undefined;
  return {
    plan,
    sourceFiles: sourcePaths(outputShards),
    weights: outputShards,
    make(names, io, options) {
      const shards = outputShards.filter(({ name }) => names.has(name));
      const { folder } = io;
      if (workers < 2 || folder === undefined) return executePlan(shards, io, options);
      return executeInThreads(shards, { task, plan, folder, digest }, workers, options);
    },
    final: isSingle ? { name: first.name } : { name: INDEX_FILE, content: buildIndex(outputShards) },
    isStale: isWeights,
  };
}

import { openMegatronCheckpoint, type ReadInto } from '../../checkpoint.ts';
import { chooseTensors } from '../../choose-tensors.ts';
import { executePlan } from '../../execute.ts';
import { planDigest } from '../../output/journal.ts';
import type { OutputJob } from '../../output/output-job.ts';
import { planConversion } from '../../plan.ts';
import { planCheckpoint } from '../../rank-files/write-checkpoint.ts';
import { openReshardSource } from '../../reshard.ts';
import { openHfSource } from '../../to-megatron.ts';
import type { ThreadTask } from '../messages.ts';

/** Opens the source and plans, as the thread that asks has done. */
export async function prepareTask(
  task: ThreadTask,
): Promise<Pick<OutputJob, 'plan' | 'make'> & { readInto: ReadInto }> {
  if (task.command === 'to-hf') {
    const { source, open, choice, cast, maxShardBytes } = task;
    const { checkpoint, resolution } = chooseTensors(await openMegatronCheckpoint(source, open), choice);
    const { outputShards } = planConversion(checkpoint, resolution, maxShardBytes, cast);
    return {
      plan: planDigest(outputShards, checkpoint.directory),
      readInto: checkpoint.readInto,
      make: (names, io, options) =>
        executePlan(
          outputShards.filter(({ name }) => names.has(name)),
          io,
          options,
        ),
    };
  }
  const { content } =
    task.command === 'to-megatron' ? await openHfSource(task.options) : await openReshardSource(task.options);
  const { plan, make } = await planCheckpoint(content, task.options);
  return { plan, make, readInto: content.readInto };
}

/* A thread that writes output shards, one after another. */
import { parentPort, workerData } from 'node:worker_threads';
import { InvalidInputError } from '@pai-cpt/core';
import { openMegatronCheckpoint } from '../../checkpoint.ts';
import { chooseTensors } from '../../choose-tensors.ts';
import { executePlan } from '../../execute.ts';
import { namingReads } from '../../output/disk.ts';
import { planDigest } from '../../output/journal.ts';
import { nodeDisk } from '../../output/node.ts';
import { workFiles } from '../../output/work-files.ts';
import { planConversion } from '../../plan.ts';
import { type ThreadReply, type ThreadRequest, type ThreadSetup, toThreadError } from '../messages.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread only');

const { source, open, choice, cast, maxShardBytes, plan: expected, folder, digest } = workerData as ThreadSetup;
const answer = (reply: ThreadReply) => port.postMessage(reply);
const PROGRESS_MS = 50;

async function prepare() {
  const { checkpoint, resolution } = chooseTensors(await openMegatronCheckpoint(source, open), choice);
  const plan = planConversion(checkpoint, resolution, maxShardBytes, cast);
  if (planDigest(plan.outputShards, checkpoint.directory) !== expected) {
    const why = 'the source changed while it was converted; start over with --force';
    throw new InvalidInputError('CPT_INPUT_RESUME_MISMATCH', `${source}: ${why}`, { file: source });
  }
  const files = workFiles(folder, nodeDisk);
  const io = {
    readInto: namingReads(checkpoint.readInto),
    createOutput: async (name: string) => files.create(files.path(name)),
  };
  return { plan, io };
}

const prepared = prepare();
prepared.catch(() => undefined); // told with the first shard

async function write(shard: string): Promise<ThreadReply> {
  const { plan, io } = await prepared;
  let told = performance.now();
  const onProgress = ({ doneBytes }: { doneBytes: number }) => {
    if (performance.now() - told < PROGRESS_MS) return;
    told = performance.now();
    answer({ doneBytes });
  };
  const outputShards = plan.outputShards.filter(({ name }) => name === shard);
  const [file] = await executePlan(outputShards, io, { digest, hasOwnDigests: true, onProgress });
  return file ? { file } : { error: { message: `the plan has no ${shard}` } };
}

port.on('message', async ({ shard }: ThreadRequest) => {
  answer(await write(shard).catch((error: unknown) => ({ error: toThreadError(error) })));
});

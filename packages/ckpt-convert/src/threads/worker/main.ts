/* A thread that writes files of an output, one after another. */
import { parentPort, workerData } from 'node:worker_threads';
import { InvalidInputError } from '@pai-cpt/core';
import { namingReads } from '../../output/disk.ts';
import { nodeDisk } from '../../output/node.ts';
import { workFiles } from '../../output/work-files.ts';
import { type ThreadReply, type ThreadRequest, type ThreadSetup, toThreadError } from '../messages.ts';
import { prepareTask } from './task.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread only');

const { task, plan: expected, folder, digest } = workerData as ThreadSetup;
const answer = (reply: ThreadReply) => port.postMessage(reply);
const PROGRESS_MS = 50;

async function prepare() {
  const { plan, make, readInto } = await prepareTask(task);
  if (plan !== expected) {
    const why = 'the source changed while it was converted; start over with --force';
    throw new InvalidInputError('CPT_INPUT_RESUME_MISMATCH', `${task.source}: ${why}`, { file: task.source });
  }
  const files = workFiles(folder, nodeDisk);
  const createOutput = async (name: string) => files.create(files.path(name));
  return { make, io: { readInto: namingReads(readInto), createOutput } };
}

const prepared = prepare();
prepared.catch(() => undefined); // told with the first file

async function write(name: string): Promise<ThreadReply> {
  const { make, io } = await prepared;
  let told = performance.now();
  const onProgress = ({ doneBytes }: { doneBytes: number }) => {
    if (performance.now() - told < PROGRESS_MS) return;
    told = performance.now();
    answer({ doneBytes });
  };
  const [file] = await make(new Set([name]), io, { digest, hasOwnDigests: true, onProgress });
  return file ? { file } : { error: { message: `the plan has no ${name}` } };
}

port.on('message', async ({ name }: ThreadRequest) => {
  answer(await write(name).catch((error: unknown) => ({ error: toThreadError(error) })));
});

/* A thread that encodes batches, one after another. */
import { parentPort, workerData } from 'node:worker_threads';
import { createBatchEncoder, type EncodeBatch } from '../encode-batch.ts';
import { createTextEngine } from '../text-engine.ts';
import { type ThreadReply, type ThreadRequest, type ThreadSetup, toThreadError } from '../thread-messages.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread only');

async function load({ engine, rules }: ThreadSetup): Promise<EncodeBatch> {
  return createBatchEncoder(await createTextEngine(engine, rules.specials), rules);
}

const encoder = load(workerData as ThreadSetup);
encoder.catch(() => undefined); // told with the first batch
let last: Promise<void> = Promise.resolve();

async function work({ job, batch, room }: ThreadRequest): Promise<void> {
  let reply: ThreadReply;
  try {
    reply = { job, result: await (await encoder)(batch, room) };
  } catch (error) {
    reply = { job, error: toThreadError(error) };
  }
  const { result } = reply;
  const views = result ? [result.ids, result.lengths, result.largest] : [];
  port?.postMessage(
    reply,
    views.map(({ buffer }) => buffer).filter((buffer) => buffer instanceof ArrayBuffer),
  );
}

port.on('message', (request: ThreadRequest) => {
  last = last.then(() => work(request));
});

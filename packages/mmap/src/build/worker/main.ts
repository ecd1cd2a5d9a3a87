/* A thread that encodes batches, one after another. */
import { parentPort, workerData } from 'node:worker_threads';
import { CptError } from '@pai-cpt/core';
import type { Batch } from '../../documents/batch.ts';
import { createBatchEncoder, type EncodeBatch } from '../encode-batch.ts';
import { createTextEngine } from '../text-engine.ts';
import type { ThreadReply, ThreadSetup } from '../thread-messages.ts';

const setup = workerData as ThreadSetup;
const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread only');

async function load(): Promise<EncodeBatch> {
  const { engine, rules } = setup;
  return createBatchEncoder(await createTextEngine(engine, rules.specials), rules);
}

const encoder = load();
encoder.catch(() => undefined); // told with the first batch
let last: Promise<void> = Promise.resolve();

async function work(job: number, batch: Batch): Promise<void> {
  let reply: ThreadReply;
  try {
    reply = { job, result: await (await encoder)(batch) };
  } catch (error) {
    reply = {
      job,
      error: CptError.isInstance(error)
        ? { code: error.code, message: error.message, details: error.details }
        : describe(error),
    };
  }
  const { result } = reply;
  const buffers = result ? [result.ids.buffer, result.lengths.buffer, result.largest.buffer] : [];
  port?.postMessage(reply, buffers as ArrayBuffer[]);
}

function describe(error: unknown): { message: string } {
  return { message: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) };
}

port.on('message', ({ job, batch }: { job: number; batch: Batch }) => {
  last = last.then(() => work(job, batch));
});

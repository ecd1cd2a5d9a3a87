/* A thread that encodes batches, one after another. */
import { parentPort, workerData } from 'node:worker_threads';
import { createWorkEncoder, type WorkEncoder } from '../encode-work.ts';
import { createMemoryReceiver } from '../shared-memory.ts';
import { createTextEngine } from '../text-engine.ts';
import { type ThreadReply, type ThreadRequest, type ThreadSetup, toThreadError } from '../thread-messages.ts';
import { warmUp } from '../warm-up.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread only');

async function load({ engine, rules }: ThreadSetup): Promise<WorkEncoder> {
  const encoder = createWorkEncoder(await createTextEngine(engine, rules.specials), rules);
  if ('compiled' in engine) await warmUp(encoder.encode, rules.textKey);
  return encoder;
}

const encoder = load(workerData as ThreadSetup);
encoder.catch(() => undefined); // told with the first batch
const receive = createMemoryReceiver();
let last: Promise<void> = Promise.resolve();

async function work(request: ThreadRequest): Promise<void> {
  const { job } = request;
  const room = receive(request.room);
  try {
    const { ids, ...rest } = await (await encoder).encode(request.work, room);
    if (ids.buffer === room) post({ job, result: rest, idCount: ids.length });
    else post({ job, result: rest, ids }); // copied: once memory was ever handed over, all code of this thread runs a tenth slower
  } catch (error) {
    post({ job, error: toThreadError(error) });
  }
}

const post = (reply: ThreadReply) => port.postMessage(reply);

port.on('message', (request: ThreadRequest) => {
  last = last.then(() => work(request));
});

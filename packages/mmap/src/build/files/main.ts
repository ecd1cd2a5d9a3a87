/* A thread that writes what a build gives, and hashes it and its inputs: half of what is left to do besides encoding. */
import { parentPort } from 'node:worker_threads';
import { type BinFile, openBinFile } from '../output/bin-file.ts';
import { createMemoryReceiver } from '../shared-memory.ts';
import { toThreadError } from '../thread-messages.ts';
import type { FilesMethod, FilesReply, FilesRequest } from './messages.ts';
import { followFile, type RunningDigest } from './node.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread only');

const bins = new Map<number, BinFile>();
const digests = new Map<number, RunningDigest>();
const receive = createMemoryReceiver();

async function act(file: number, method: FilesMethod): Promise<unknown> {
  const bin = bins.get(file);
  const digest = digests.get(file);
  switch (method.name) {
    case 'openBin':
      bins.set(file, await openBinFile(method.options));
      return;
    case 'follow':
      digests.set(file, await followFile(method.path, method.from));
      return;
    case 'append':
      return bin?.append(method.bytes);
    case 'appendShared':
      return bin?.append(new Uint8Array(receive(method.memory), method.from, method.byteLength));
    case 'advance':
      return digest?.advance(method.to);
    case 'digest':
      return bin ? bin.digest() : digest?.digest(method.to ?? 0);
    case 'sync':
      return bin?.sync();
    case 'close':
      return (bin ?? digest)?.close();
  }
}

/** One after another, in the order of the calls: later ones rely on earlier ones. */
let last: Promise<void> = Promise.resolve();

async function answer({ call, file, method }: FilesRequest): Promise<void> {
  let reply: Omit<FilesReply, 'call'>;
  try {
    reply = { value: await act(file, method) };
  } catch (error) {
    reply = { error: toThreadError(error) };
  }
  if (call !== undefined) port?.postMessage({ call, ...reply } satisfies FilesReply);
}

port.on('message', (request: FilesRequest) => {
  last = last.then(() => answer(request));
});

/* The thread that takes the sha256 of what another one writes. */
import { createHash, type Hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import type { DigestReply, DigestRequest } from '../messages.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread only');

const memory = new Uint8Array(workerData as SharedArrayBuffer);
const hashes = new Map<string, Hash>();

port.on('message', ({ file, from = 0, length }: DigestRequest) => {
  const hash = hashes.get(file) ?? createHash('sha256');
  let reply: DigestReply = {};
  if (length === undefined) {
    hashes.delete(file);
    reply = { sha256: hash.digest('hex') };
  } else hashes.set(file, hash.update(memory.subarray(from, from + length)));
  port.postMessage(reply);
});

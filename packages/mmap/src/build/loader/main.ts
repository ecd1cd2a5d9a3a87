/* A thread that loads a tokenizer, hands over what a build needs of it, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import type { AddedTokenPolicy } from '../../tokenizer/byte-level-bpe.ts';
import { type LoaderReply, toThreadError } from '../thread-messages.ts';
import { readEngine, readFacts } from '../tokenizer-facts.ts';

const { path, specials } = workerData as { path: string; specials: AddedTokenPolicy };

async function load(): Promise<LoaderReply> {
  try {
    const facts = await readFacts(path);
    return { loaded: { facts, engine: await readEngine(facts, specials) } };
  } catch (error) {
    return { error: toThreadError(error) };
  }
}

parentPort?.postMessage(await load());

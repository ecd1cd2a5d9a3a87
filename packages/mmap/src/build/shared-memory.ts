/**
 * Memory that is sent to a thread again and again. Each time shared memory is received it counts as new memory there, so that a
 * thread which is sent a megabyte with each message collects garbage all the time; so it is sent once, and its number afterwards.
 */
export interface SentMemory {
  number: number;
  /** With the first message only. */
  memory?: SharedArrayBuffer;
}

/** Numbers memory for one thread. */
export function createMemorySender(): (memory: SharedArrayBuffer) => SentMemory {
  const known = new Map<SharedArrayBuffer, number>();
  return (memory) => {
    const number = known.get(memory);
    if (number !== undefined) return { number };
    known.set(memory, known.size);
    return { number: known.size - 1, memory };
  };
}

/** The memory that such numbers mean, on the side of the thread. */
export function createMemoryReceiver(): (sent: SentMemory) => SharedArrayBuffer {
  const known: SharedArrayBuffer[] = [];
  return ({ number, memory }) => {
    if (memory) known[number] = memory;
    return known[number] as SharedArrayBuffer;
  };
}

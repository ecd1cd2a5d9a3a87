// OUT/.ckpt-convert/lock-N. Who holds the highest number holds the output. A stale lock is not removed but outbid by N + 1, which the
// file system gives to one process only; with removal, the slower of two heirs would remove the lock of the faster one.

import { CptError } from '@pai-cpt/core';

/** A process, told from others of the same number by when it began, and by the kernel and namespace that count it. */
export interface LockRecord {
  readonly pid: number;
  /** In the kernel's own units; null where it does not say. */
  readonly began: string | null;
  /** Boot id and pid namespace: a pid means something only inside them. */
  readonly kernel: string;
  readonly host: string;
  readonly token: string;
}

export interface FoundLock {
  /** Undefined while it is being written. */
  readonly record: LockRecord | undefined;
  /** Since the last heartbeat, by the clock that stamps files: to ask it, a file is made. */
  ageMs(): number;
}

/** What a lock needs of a directory. */
export interface LockFolder {
  /** Numbers of the locks there, ascending. */
  list(): Promise<number[]>;
  /** Undefined when it is gone. */
  read(number: number): Promise<FoundLock | undefined>;
  /** False when there is one of this number. */
  create(number: number, record: LockRecord): Promise<boolean>;
  remove(number: number): Promise<void>;
  /** When the process began; undefined when there is none. Only asked for pids of this kernel. */
  beginOf(pid: number): string | null | undefined;
}

export interface HeldLock {
  readonly number: number;
  /** False when another process found this one dead and took over. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

/** A holder on another machine counts as dead after twelve missed heartbeats; flushing a large file can block several. */
export const STALE_MS = 120_000;
const MOST_ATTEMPTS = 20;

/** @throws CptError `CPT_INPUT_OUTPUT_LOCKED` naming the pid. */
export async function acquireLock(folder: LockFolder, mine: LockRecord, directory: string): Promise<HeldLock> {
  for (let attempt = 0; ; attempt++) {
    const last = (await folder.list()).at(-1) ?? 0;
    const found = last === 0 ? undefined : await folder.read(last);
    if (found && !isStale(found, mine, folder)) throw locked(directory, found);
    if (attempt >= MOST_ATTEMPTS) throw locked(directory, found);
    if (last > 0 && !found) continue; // released in between
    const number = last + 1;
    if (!(await folder.create(number, mine))) continue;
    // Between the list and the creation others may have come, outbid each other and gone.
    if ((await folder.list()).at(-1) === number) return heldLock(folder, number, mine);
    await folder.remove(number);
  }
}

/** Refuses where somebody alive holds the lock, and takes nothing. */
export async function requireUnlocked(folder: LockFolder, mine: LockRecord, directory: string): Promise<void> {
  const last = (await folder.list()).at(-1);
  const found = last === undefined ? undefined : await folder.read(last);
  if (found && !isStale(found, mine, folder)) throw locked(directory, found);
}

function isStale({ record, ageMs }: FoundLock, mine: LockRecord, folder: LockFolder): boolean {
  if (!record || record.kernel !== mine.kernel) return ageMs() > STALE_MS;
  const began = folder.beginOf(record.pid);
  return began === undefined || began !== record.began;
}

function heldLock(folder: LockFolder, number: number, mine: LockRecord): HeldLock {
  const isMine = async () => (await folder.read(number))?.record?.token === mine.token;
  return {
    number,
    isHeld: async () => (await folder.list()).at(-1) === number && (await isMine()),
    async release() {
      const numbers = await folder.list();
      if (numbers.at(-1) === number) for (const lower of numbers.slice(0, -1)) await folder.remove(lower);
      if (await isMine()) await folder.remove(number);
    },
  };
}

function locked(directory: string, found: FoundLock | undefined): CptError {
  const { pid, host } = found?.record ?? {};
  const who = pid === undefined ? 'another process' : `pid ${pid} on ${host}`;
  const beat = found ? `, last heard of ${Math.max(0, Math.round(found.ageMs() / 1000))} s ago` : '';
  return new CptError(
    'CPT_INPUT_OUTPUT_LOCKED',
    `${directory}: locked by ${who}${beat}; wait for it or choose another output`,
    { file: directory, ...(pid !== undefined && { pid, host }) },
  );
}

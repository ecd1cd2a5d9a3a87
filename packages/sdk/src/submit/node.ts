import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { CptError, FormatError, InvalidInputError } from '@pai-cpt/core';
import { type Clock, systemClock } from '../poll.ts';
import { inFlight } from './in-flight.ts';
import { type JournalRecord, type OpenIntent, openIntent, type SubmitJournal } from './journal.ts';
import { createQueue } from './memory-journal.ts';

export type { SubmitJournal } from './journal.ts';

const SUFFIX = '.ndjson';
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2000;

/**
 * A journal in `directory`: one file per intent, a JSON record per line, every line on the disk before anything follows from
 * it. A last line that a crash cut is dropped. One process at a time writes to an intent; what a killed process left locked
 * is taken over, on the same machine only: from another machine nobody can tell whether it is alive.
 * @throws FormatError `CPT_FORMAT_SUBMIT_JOURNAL` from `claim` and `open` for a line that is no record. CptError `CPT_DISK_FULL`,
 * `CPT_DISK_FAILED` from `append`, after which the claim takes no more.
 */
export function fileSubmitJournal(directory: string, { clock = systemClock }: { clock?: Clock } = {}): SubmitJournal {
  const queue = createQueue();
  return {
    async claim(intentId, { signal, isPatient = true } = {}) {
      if (!/^[0-9a-f]{32}$/.test(intentId)) {
        throw new InvalidInputError('CPT_INPUT_INVALID', `"${intentId}" is no id of a submission`);
      }
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const leave = await queue.enter(intentId, isPatient, signal);
      let unlock: (() => Promise<void>) | undefined;
      let file: FileHandle | undefined;
      const release = async (): Promise<void> => {
        await file?.close();
        file = undefined;
        await unlock?.();
        unlock = undefined;
        leave();
      };
      try {
        unlock = await lock(directory, intentId, { isPatient, clock, signal });
        const opened = await openRecords(directory, intentId);
        file = opened.file;
        let length = opened.length;
        return {
          records: opened.records,
          async append(record) {
            if (!file) throw fenced(intentId);
            const line = Buffer.from(`${JSON.stringify(record)}\n`);
            try {
              const { bytesWritten } = await file.write(line, 0, line.byteLength, length);
              if (bytesWritten !== line.byteLength)
                throw new Error(`the disk took ${bytesWritten} of ${line.byteLength} bytes`);
              await file.datasync();
            } catch (cause) {
              await file.truncate(length).catch(() => {}); // what is left would be read as half a record
              await file.close();
              file = undefined;
              throw diskFailed(join(directory, intentId + SUFFIX), cause);
            }
            length += line.byteLength;
          },
          release,
        };
      } catch (error) {
        await release();
        throw error;
      }
    },
    async open(onDamaged) {
      const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return []; // nothing was submitted yet; a folder that cannot be read is no such thing
        throw error;
      });
      const found: OpenIntent[] = [];
      for (const name of names.filter((candidate) => candidate.endsWith(SUFFIX)).sort()) {
        try {
          const { records } = parseRecords(await readFile(join(directory, name)), join(directory, name));
          const intent = openIntent(records);
          if (intent) found.push(intent);
        } catch (error) {
          if (!onDamaged) throw error;
          onDamaged(name.slice(0, -SUFFIX.length), error);
        }
      }
      return found;
    },
  };
}

function fenced(intentId: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_SUBMIT_FENCED', `submission ${intentId} was let go before this was written`, {
    intentId,
  });
}

function diskFailed(path: string, cause: unknown): CptError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  return new CptError(
    isFull ? 'CPT_DISK_FULL' : 'CPT_DISK_FAILED',
    `${path}: cannot be written (${message}); make it writable and submit again with the same key`,
    { file: path },
    { cause },
  );
}

async function openRecords(directory: string, intentId: string) {
  const path = join(directory, intentId + SUFFIX);
  const file = await open(path, 'a', 0o600).then(async (made) => {
    await made.close();
    return open(path, 'r+'); // positions count only without O_APPEND
  });
  try {
    await syncDirectory(directory); // a new file is not there after a power cut before its directory is
    const { records, byteLength } = parseRecords(await file.readFile(), path);
    await file.truncate(byteLength);
    return { file, records, length: byteLength };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The records of a file and the length of the whole lines; what follows the last line break was cut by a crash. */
function parseRecords(bytes: Buffer, path: string): { records: JournalRecord[]; byteLength: number } {
  // Counted in the bytes themselves: decoded text is longer than what was read where a byte is no UTF-8.
  const byteLength = bytes.lastIndexOf(0x0a) + 1;
  const records: JournalRecord[] = [];
  for (let start = 0; start < byteLength; ) {
    const end = bytes.indexOf(0x0a, start);
    const record = parseLine(bytes.subarray(start, end));
    if (!record) {
      const line = records.length + 1;
      throw new FormatError(
        'CPT_FORMAT_SUBMIT_JOURNAL',
        `${path}: line ${line} is no record of a submission; look in PAI for jobs of ${path} before you remove it`,
        { file: path, line },
      );
    }
    records.push(record);
    start = end + 1;
  }
  return { records, byteLength };
}

function parseLine(line: Buffer): JournalRecord | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
    const isRecord = typeof value === 'object' && value !== null && 'type' in value && 'at' in value;
    return isRecord ? (value as JournalRecord) : undefined;
  } catch {
    return undefined;
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  await handle.sync().finally(() => handle.close());
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When that process began, as the kernel counts: the number of a process is given again. */
  readonly began: string | null;
}

/**
 * Everybody who wants the intent first puts up a file of his own, then looks for others: of two at the same moment at least
 * one sees the other, so they may both step back but never both go on. Nothing is taken from anybody, hence no race to take it.
 */
async function lock(
  directory: string,
  intentId: string,
  { isPatient, clock, signal }: { isPatient: boolean; clock: Clock; signal: AbortSignal | undefined },
): Promise<() => Promise<void>> {
  const mine = `${intentId}.lock-${process.pid}-${randomBytes(6).toString('hex')}`;
  const path = join(directory, mine);
  const me: Holder = { pid: process.pid, host: hostname(), began: await beginOf(process.pid) };
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 1.5)) {
    signal?.throwIfAborted();
    let holder = await findHolder(directory, intentId, mine);
    if (!holder) {
      await writeFile(path, JSON.stringify(me), { mode: 0o600 });
      holder = await findHolder(directory, intentId, mine);
      if (!holder) return () => rm(path, { force: true });
      await rm(path, { force: true });
    }
    if (!isPatient) throw inFlight(intentId, `process ${holder.pid} on ${holder.host}`);
    await clock.sleep(waitMs * (0.5 + Math.random()), signal);
  }
}

/** Who else holds or wants the intent. Files of processes that are gone are removed. */
async function findHolder(directory: string, intentId: string, mine: string): Promise<Holder | undefined> {
  const names = await readdir(directory);
  for (const name of names.filter((candidate) => candidate.startsWith(`${intentId}.lock-`) && candidate !== mine)) {
    const path = join(directory, name);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) continue; // let go meanwhile
    const holder = parseHolder(text, name);
    if (holder.host !== hostname() || (await isAlive(holder))) return holder;
    await rm(path, { force: true });
  }
  return undefined;
}

/** A file that is not written to its end yet belongs, by its name, to the process that writes it. */
function parseHolder(text: string, name: string): Holder {
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return { pid: Number(/\.lock-(\d+)-/.exec(name)?.[1]), host: hostname(), began: null };
  }
}

async function isAlive({ pid, began }: Holder): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const found = await beginOf(pid);
  if (found === null && process.platform === 'linux') return false; // a zombie
  return began === null || found === null || began === found;
}

/** When a process began; `null` where the system does not tell, or it has ended. */
async function beginOf(pid: number): Promise<string | null> {
  if (process.platform !== 'linux') return null;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return null;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return null;
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  return `${boot.trim()} ${fields[19]}`;
}

import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '@pai-cpt/core';
import { replaceFile } from '@pai-cpt/core/node';

/** Something that happened to a job, a pod or a service, for people. */
export interface EventRecord {
  readonly at: number;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

export interface StatusRecord {
  readonly status: string;
  readonly startedAt: number;
  endedAt?: number;
  reasonCode?: string;
  reasonMessage?: string;
}

/** One life of a pod; a restart gives it another. */
export interface PodLife {
  podUid: string;
  status: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Stopped';
  createdAt: number;
  startedAt?: number;
  finishedAt?: number;
}

export interface PodRecord extends PodLife {
  readonly podId: string;
  /** `Master` or `Worker`. */
  readonly type: string;
  readonly image: string;
  readonly events: EventRecord[];
  /** The lives before this one, oldest first; absent before the first restart. */
  earlier?: PodLife[];
}

/** A DLC job: what was asked, and what came of it. */
export interface JobRecord {
  readonly kind: 'job';
  readonly jobId: string;
  /** Order of creation; times alone tie. */
  readonly sequence: number;
  /** The body of CreateJob, as it came, with what UpdateJob has changed. */
  request: Readonly<Record<string, unknown>>;
  status: string;
  reasonCode: string;
  reasonMessage: string;
  readonly createdAt: number;
  /** One entry per status entered, in order; Running and Restarting may take turns. */
  readonly history: StatusRecord[];
  pods: PodRecord[];
  /** Restarts of its pods that RestartPolicy gave. */
  restarts?: number;
  readonly events: EventRecord[];
}

/** An EAS service: its JSON, and where it stands. */
export interface ServiceRecord {
  readonly kind: 'service';
  readonly name: string;
  readonly serviceId: string;
  readonly sequence: number;
  /** Service JSONs as they came; version n is at n - 1. */
  readonly versions: Readonly<Record<string, unknown>>[];
  /** The one that runs, or is to run. */
  version: number;
  /** How many instances are to run. */
  instances: number;
  /** How many take requests. */
  readyInstances: number;
  readonly workspaceId?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly accessToken: string;
  readonly group?: ServiceGroupRecord;
  status: string;
  message: string;
  readonly createdAt: number;
  updatedAt: number;
  readonly events: EventRecord[];
  /** The body of CreateServiceAutoScaler, as it came. */
  autoScaler?: Readonly<Record<string, unknown>>;
  cronScaler?: CronScalerRecord;
}

/** When a service is to have how many instances. */
export interface CronScalerRecord {
  /** Cron expressions; on the days they name nothing happens. */
  readonly excludeDates: readonly string[];
  readonly jobs: readonly CronJobRecord[];
}

export interface CronJobRecord {
  readonly name: string;
  readonly schedule: string;
  readonly targetSize: number;
  readonly timeZone: string;
  readonly createdAt: number;
  ranAt?: number;
  message?: string;
}

/** The place of a service in a group. `trafficMode` and the token are the group's, and equal in all its services. */
export interface ServiceGroupRecord {
  readonly name: string;
  readonly accessToken: string;
  trafficMode: 'auto' | 'customized';
  weight: number;
  trafficState: 'standalone' | 'grouping';
}

/** Records in memory, each also one JSON file that is replaced as a whole at every change. */
export interface Store<T> {
  get(key: string): T | undefined;
  values(): T[];
  /** Keeps `value` and writes it soon; changes that come faster than the disk are written once. */
  put(key: string, value: T): void;
  delete(key: string): void;
  /** Resolves when every change so far is on disk; rejects with the first write that failed. */
  flush(): Promise<void>;
}

/**
 * Opens the store in `directory`, which it makes, with the records that an earlier run left there.
 * @throws FormatError `CPT_FORMAT_STATE_FILE` for a file that is not a record of this kind.
 */
export async function openStore<T extends { kind: string }>(directory: string, kind: T['kind']): Promise<Store<T>> {
  await mkdir(directory, { recursive: true });
  const records = new Map<string, T>();
  for (const name of await readdir(directory)) {
    if (name.endsWith('.json'))
      records.set(name.slice(0, -'.json'.length), await readRecord<T>(join(directory, name), kind));
  }
  return storeOver(records, directory);
}

function storeOver<T>(records: Map<string, T>, directory: string): Store<T> {
  const dirty = new Set<string>();
  let writing: Promise<void> | undefined;
  let failure: unknown;

  async function writeOne(key: string): Promise<void> {
    const path = join(directory, `${key}.json`);
    const value = records.get(key);
    if (value === undefined) await rm(path, { force: true });
    else await replaceFile(path, JSON.stringify(value));
  }
  async function writeAll(): Promise<void> {
    for (const key of dirty) {
      dirty.delete(key);
      await writeOne(key).catch((error: unknown) => {
        failure ??= error;
      });
    }
    writing = undefined; // in one step with the end of the loop, so that no change falls between the two
  }
  function touch(key: string): void {
    dirty.add(key);
    writing ??= writeAll();
  }
  return {
    get: (key) => records.get(key),
    values: () => [...records.values()],
    put(key, value) {
      records.set(key, value);
      touch(key);
    },
    delete(key) {
      records.delete(key);
      touch(key);
    },
    async flush() {
      while (writing) await writing;
      if (failure !== undefined) throw failure;
    },
  };
}

async function readRecord<T extends { kind: string }>(path: string, kind: string): Promise<T> {
  const text = await readFile(path, 'utf8');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === kind) return value as T;
  } catch {
    // Not JSON: the same refusal as for JSON of another kind.
  }
  throw new FormatError('CPT_FORMAT_STATE_FILE', `${path}: this is not the record of a ${kind}; remove the file`, {
    file: path,
  });
}

/** The number after the highest in use, so that records made in the same millisecond keep their order. */
export function nextSequence(records: readonly { sequence: number }[]): number {
  return records.reduce((highest, record) => Math.max(highest, record.sequence), 0) + 1;
}

import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';

/** What the processes of one container used at a moment; rates are means since the sample before. */
export interface UsageSample {
  /** Milliseconds since 1970 by the server's clock. */
  readonly at: number;
  /** Of all cores of this machine. */
  readonly cpuPercent: number;
  /** Resident pages of this machine's memory; a page that processes share counts for each. */
  readonly memoryPercent: number;
  /** Bytes a second from and to disks, what the page cache answered left out; absent where /proc hides it. */
  readonly diskReadRate?: number;
  readonly diskWriteRate?: number;
}

/** Looks at process groups while they run, and keeps what it saw. */
export interface UsageSampler {
  /** Samples the process group from now on, under a name that stays when it has ended. */
  watch(name: string, processGroup: number): void;
  /** Ends the sampling of that group, unless the name stands for another by now; the samples stay. */
  unwatch(name: string, processGroup: number): void;
  /** Oldest first. */
  samplesOf(name: string): readonly UsageSample[];
  /** Takes one sample of everything that is watched; by itself this happens every second. */
  sample(): void;
  /** Forgets every name that begins so. */
  forget(prefix: string): void;
  close(): void;
}

const EVERY_MS = 1000;
/** An hour of one container; older samples go. */
const MOST_SAMPLES = 3600;
/** Of /proc/<pid>/stat, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

interface GroupTotals {
  ticks: number;
  pages: number;
  readBytes: number | undefined;
  writeBytes: number | undefined;
}

/** The group's totals at a time of this machine, which its processes live in whatever the server's clock says. */
interface Reading {
  readonly realMs: number;
  readonly totals: GroupTotals;
}

/** A sampler over /proc that dates its samples by `now`; where there is no /proc, it has none. */
export function createUsageSampler(now: () => number): UsageSampler {
  const watched = new Map<string, { group: number; before?: Reading }>();
  const samples = new Map<string, UsageSample[]>();
  let timer: NodeJS.Timeout | undefined;

  function sample(): void {
    const groups = readGroups(new Set([...watched.values()].map(({ group }) => group)));
    const realMs = performance.now();
    for (const [name, entry] of watched) {
      const totals = groups.get(entry.group);
      if (!totals) continue;
      if (entry.before) {
        const list = samples.get(name) ?? [];
        list.push(toSample(now(), { realMs, totals }, entry.before));
        if (list.length > MOST_SAMPLES) list.shift();
        samples.set(name, list);
      }
      entry.before = { realMs, totals };
    }
  }
  function rest(): void {
    if (watched.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }
  return {
    watch(name, group) {
      if (process.platform !== 'linux') return;
      watched.set(name, { group });
      timer ??= setInterval(sample, EVERY_MS).unref();
    },
    unwatch(name, group) {
      if (watched.get(name)?.group === group) watched.delete(name);
      rest();
    },
    samplesOf: (name) => samples.get(name) ?? [],
    sample,
    forget(prefix) {
      for (const name of samples.keys()) if (name.startsWith(prefix)) samples.delete(name);
    },
    close() {
      watched.clear();
      rest();
    },
  };
}

function toSample(at: number, { realMs, totals }: Reading, before: Reading): UsageSample {
  const seconds = (realMs - before.realMs) / 1000;
  const rate = (is: number | undefined, was: number | undefined): number | undefined =>
    is === undefined || was === undefined ? undefined : Math.max(0, is - was) / seconds;
  const cpuSeconds = Math.max(0, totals.ticks - before.totals.ticks) / TICKS_PER_SECOND;
  const read = rate(totals.readBytes, before.totals.readBytes);
  const written = rate(totals.writeBytes, before.totals.writeBytes);
  return {
    at,
    cpuPercent: (100 * cpuSeconds) / seconds / availableParallelism(),
    memoryPercent: (100 * totals.pages * PAGE_BYTES) / totalmem(),
    ...(read === undefined ? {} : { diskReadRate: read }),
    ...(written === undefined ? {} : { diskWriteRate: written }),
  };
}

function readGroups(wanted: ReadonlySet<number>): Map<number, GroupTotals> {
  const groups = new Map<number, GroupTotals>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const process = readProcess(entry);
    if (!process || !wanted.has(process.group)) continue;
    const totals = groups.get(process.group) ?? { ticks: 0, pages: 0, readBytes: 0, writeBytes: 0 };
    totals.ticks += process.ticks;
    totals.pages += process.pages;
    const io = readIo(entry);
    totals.readBytes = io && totals.readBytes !== undefined ? totals.readBytes + io.read : undefined;
    totals.writeBytes = io && totals.writeBytes !== undefined ? totals.writeBytes + io.written : undefined;
    groups.set(process.group, totals);
  }
  return groups;
}

/** Group, CPU time with that of children it has waited for, and resident pages, from a line of /proc/<pid>/stat. */
export function parseStat(stat: string): { group: number; ticks: number; pages: number } {
  // pid (name) state parent group …; the name may hold spaces and brackets, so count from its last bracket
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const at = (index: number): number => Number(fields[index] ?? 0);
  return { group: at(2), ticks: at(11) + at(12) + at(13) + at(14), pages: at(21) };
}

function readProcess(pid: string): ReturnType<typeof parseStat> | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined; // it ended meanwhile
  }
}

function readIo(pid: string): { read: number; written: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/io`, 'latin1');
    const value = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
    return { read: value('read_bytes'), written: value('write_bytes') };
  } catch {
    return undefined; // not ours to look at, or it ended meanwhile
  }
}

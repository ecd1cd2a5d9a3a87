import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Clock } from './clock.ts';
import type { LogWriter } from './process-log.ts';
import type { Reaper } from './reaper.ts';

/** A shell command and whatever it started, as one process group: the stand-in for a container. */
export interface ProcessGroup {
  readonly pid: number | undefined;
  /** The exit code of the shell, 128 + n when signal n ended it; by then the rest of the group is gone too. */
  readonly exited: Promise<number>;
  /** SIGTERM to all, `graceMs` for them to end, then SIGKILL. Resolves when nothing runs any more. */
  terminate(graceMs: number): Promise<void>;
  /** SIGKILL to all at once, as the kernel does when the memory is full. */
  kill(): void;
}

const POLL_MS = 25;
const DRAIN_MS = 2000;

/** Runs `/bin/sh -c command` in a group of its own, with both outputs copied to `log`. */
export function startProcessGroup(options: {
  command: string;
  directory: string;
  env: Readonly<Record<string, string>>;
  log: LogWriter;
  reaper: Reaper;
  clock: Clock;
}): ProcessGroup {
  const { log, reaper, clock } = options;
  const child = spawn('/bin/sh', ['-c', options.command], {
    cwd: options.directory,
    env: options.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid !== undefined) reaper.watch(pid);

  let termination: Promise<void> | undefined;
  const shellExit = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
    child.once('error', (error) => {
      log.line(`the process was not started: ${error.message}`);
      resolve(127);
    });
  });
  const copies = Promise.allSettled([log.copy(child.stdout), log.copy(child.stderr)]);

  async function finish(): Promise<number> {
    const code = await shellExit;
    await termination; // when it was asked to end, the others have their grace
    signalGroup(pid, 'SIGKILL'); // else they end with the shell, as a container ends with its first process
    await withinMs(copies, DRAIN_MS, clock);
    child.stdout.destroy();
    child.stderr.destroy();
    log.close();
    if (pid !== undefined) reaper.forget(pid);
    return code;
  }
  let graceLeftMs = Number.POSITIVE_INFINITY;
  async function endGroup(): Promise<void> {
    signalGroup(pid, 'SIGTERM');
    for (; graceLeftMs > 0 && isGroupAlive(pid); graceLeftMs -= POLL_MS) await clock.sleep(POLL_MS);
    signalGroup(pid, 'SIGKILL');
  }
  const exited = finish();
  return {
    pid,
    exited,
    kill: () => signalGroup(pid, 'SIGKILL'),
    async terminate(graceMs) {
      graceLeftMs = Math.min(graceLeftMs, graceMs); // a second caller may be in more of a hurry
      termination ??= endGroup();
      await termination;
      await withinMs(exited, 2 * DRAIN_MS, clock);
    },
  };
}

async function withinMs(work: Promise<unknown>, ms: number, clock: Clock): Promise<void> {
  const done = new AbortController();
  const timer = clock.sleep(ms, done.signal).catch(() => {});
  await Promise.race([work, timer]);
  done.abort();
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // Nobody is left in the group.
  }
}

/**
 * True while a process of the group runs. Zombies do not count: where the first process of a container does not collect
 * orphans they stay for ever, and a wait for them would always take its full time.
 */
function isGroupAlive(pid: number | undefined): boolean {
  try {
    if (pid === undefined) return false;
    process.kill(-pid, 0);
  } catch {
    return false;
  }
  return process.platform !== 'linux' || readdirSync('/proc').some((entry) => isLiveMember(entry, pid));
}

function isLiveMember(entry: string, processGroup: number): boolean {
  if (!/^\d+$/.test(entry)) return false;
  try {
    return isLiveIn(processGroup, readFileSync(`/proc/${entry}/stat`, 'latin1'));
  } catch {
    return false; // it ended meanwhile
  }
}

/** True when a process with this `/proc/<pid>/stat` runs in the group. Zombie (Z) and dead (X) processes do not run. */
export function isLiveIn(processGroup: number, stat: string): boolean {
  // pid (name) state parent group …; the name may hold spaces and brackets, so count from its last bracket
  const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(group) === processGroup && state !== 'Z' && state !== 'X';
}

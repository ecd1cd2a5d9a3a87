import { readdir, readFile, readlink } from 'node:fs/promises';
import { runProgram } from './embedded-binaries.ts';

/**
 * When process `pid` started, as text to compare; undefined when there is none, or only a zombie. Together with the
 * number it tells a process from one that got the same number later.
 */
export async function startOf(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') {
    const { isOk, output } = await runProgram('ps', ['-o', 'lstart=', '-p', String(pid)]);
    return isOk && output !== '' ? output : undefined;
  }
  const stat = await readStat(pid);
  if (!stat || stat.state === 'Z') return undefined;
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  return `${boot.trim()} ${stat.startTicks}`;
}

/** The PostgreSQL processes, postmaster or not, that work in the cluster `data`, which is given without symbolic links. */
export async function clusterProcesses(data: string): Promise<number[]> {
  if (process.platform !== 'linux') return postmasters(data);
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid)) continue;
    // A shell that someone left in that folder is not ours to end.
    const directory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
    if (directory === data && (await readStat(pid))?.name === 'postgres') found.push(pid);
  }
  return found;
}

/** Elsewhere only the postmaster can be told, by its arguments; its children follow it within a second. */
async function postmasters(data: string): Promise<number[]> {
  const { output } = await runProgram('ps', ['-axo', 'pid=,command=']);
  const lines = output.split('\n').filter((line) => line.includes(`postgres -D ${data} `));
  return lines.map((line) => Number.parseInt(line, 10));
}

async function readStat(pid: number): Promise<{ name: string; state: string; startTicks: string } | undefined> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (line === undefined) return undefined;
  // Field 2 is the name in parentheses and may itself hold any character; 3 is the state, 22 the start in clock ticks.
  const close = line.lastIndexOf(')');
  const fields = line.slice(close + 2).split(' ');
  return { name: line.slice(line.indexOf('(') + 1, close), state: fields[0] ?? '', startTicks: fields[19] ?? '' };
}

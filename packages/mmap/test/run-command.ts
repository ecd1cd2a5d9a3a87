import { runCommand } from '../src/commands.ts';

/** Runs a command line without a terminal and keeps what it says. */
export async function runQuietly(...args: string[]): Promise<{ code: number; out: string; log: string }> {
  const out: string[] = [];
  const log: string[] = [];
  const code = await runCommand(args, { write: (text) => void out.push(text), log: (line) => void log.push(line) });
  return { code, out: out.join(''), log: log.join('\n') };
}

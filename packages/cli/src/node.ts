import { type ChildProcess, spawn } from 'node:child_process';
import { access, appendFile, constants, mkdir, readdir, readFile, rm, stat, statfs } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import { replaceFile } from '@pai-cpt/core/node';

/** True when a person looks at the terminal: bars and colours are welcome. */
export const isTerminal = process.stderr.isTTY === true && process.env.CI === undefined;

/** Columns of the terminal; 100 where there is none. */
export const terminalColumns = process.stdout.columns ?? 100;

/** Prints a line for people or machines on stdout. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints a line beside the result, on stderr. */
export function printAside(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The text of a file, or `CPT_INPUT_FILE_MISSING`. */
export async function readTextFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause) => {
    throw new InvalidInputError(
      'CPT_INPUT_FILE_MISSING',
      `${path}: cannot be read; check the path`,
      { file: path },
      { cause },
    );
  });
}

/** A parsed JSON file; a syntax error names the file. */
export async function readJsonFile(path: string): Promise<unknown> {
  const text = await readTextFile(path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidInputError('CPT_INPUT_INVALID', `${path}: not JSON (${why})`, { file: path }, { cause });
  }
}

export async function writeJsonFile(path: string, value: unknown): Promise<void> {
  await replaceFile(path, `${JSON.stringify(value, null, 2)}\n`);
}

export const appendLine = (path: string, line: string): Promise<void> => appendFile(path, `${line}\n`);
export const removeFolder = (path: string): Promise<void> => rm(path, { recursive: true, force: true });
export const fileExists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}

/** Names of the files in a folder; none when it is not there. */
export const fileNames = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

/** Free space of a folder, and whether it can be written here; `CPT_INPUT_FILE_MISSING` when it is not there. */
export async function probeFolder(path: string): Promise<{ freeBytes: number; isWritable: boolean }> {
  const { bavail, bsize } = await statfs(path).catch((cause: unknown) => {
    const message = `${path}: no folder; check the path and the mount`;
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', message, { file: path }, { cause });
  });
  const isWritable = await access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
  return { freeBytes: bavail * bsize, isWritable };
}

/** Where this program keeps what must outlive it, by the XDG convention. */
export const stateFolder = (): string =>
  join(environment('XDG_STATE_HOME') ?? join(homedir(), '.local', 'state'), 'pai-cpt');

/** A value of the process environment. */
export const environment = (name: string): string | undefined => process.env[name] || undefined;

/** The launcher of a program that one of our packages brings, for example `ckpt-convert` of `@pai-cpt/ckpt-convert`. */
export function programPath(packageName: string, program: string): string {
  return fileURLToPath(new URL(`./bin/${program}.js`, import.meta.resolve(`${packageName}/package.json`)));
}

/**
 * Runs one of our programs to its end and gives its last stdout line, parsed. On a terminal its progress is seen; elsewhere
 * its stderr is kept for the error.
 * @throws CptError `CPT_PROGRAM_FAILED` with the program's own last words.
 */
export async function runProgram(program: string, args: string[], signal?: AbortSignal): Promise<unknown> {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', isTerminal ? 'inherit' : 'pipe'],
    ...(signal ? { signal } : {}),
  });
  const words = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    words.out += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words.err = (words.err + text).slice(-4000);
  });
  const code = await exitOf(child);
  const lastLine = words.out.trimEnd().split('\n').at(-1) ?? '';
  if (code !== 0) throw programFailed(program, code, words.err || lastLine);
  return JSON.parse(lastLine);
}

/** A server of ours in its own process, ready to answer. */
export interface ServerProcess {
  readonly url: string;
  /** Sends SIGTERM, waits, and after 10 s SIGKILL. Safe to call twice. */
  stop(): Promise<void>;
}

/**
 * Starts one of our servers and waits for the JSON line with its `url`. The server ends itself when this process is gone,
 * because its stdin closes then.
 */
export async function startServer(
  program: string,
  args: string[],
  extraEnvironment: Record<string, string> = {},
  readyMs = 60_000,
): Promise<ServerProcess> {
  const child = spawn(process.execPath, [program, ...args, '--exit-with-parent'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...extraEnvironment },
  });
  let errorText = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errorText = (errorText + text).slice(-4000);
  });
  const stop = () => stopProcess(child);
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(programFailed(program, null, `not ready after ${readyMs} ms`)), readyMs);
    child.once('exit', (code) => reject(programFailed(program, code, errorText)));
    child.once('error', reject);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = readUrl(line);
      if (!found) return;
      clearTimeout(timer);
      resolve(found);
    });
  }).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return { url, stop };
}

function readUrl(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  const parsed = JSON.parse(line) as { url?: unknown };
  return typeof parsed.url === 'string' ? parsed.url : undefined;
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = exitOf(child);
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(timer);
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}

function programFailed(program: string, code: number | null, words: string): CptError {
  const name = program.split(/[\\/]/).at(-1)?.replace(/\.js$/, '') ?? program;
  const said = words.trim().split('\n').at(-1) || 'it said nothing';
  return new CptError('CPT_PROGRAM_FAILED', `${name} ended with code ${code ?? 'none'}: ${said}`, {
    program: name,
    code,
  });
}

/** A signal that aborts on SIGINT and SIGTERM, so that a stopped command still cleans up. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => controller.abort(new DOMException(`stopped by ${name}`, 'AbortError')));
  }
  return controller.signal;
}

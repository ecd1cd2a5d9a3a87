import type { InputFile } from '../../documents/input-file.ts';
import type { SidecarInput } from '../../sidecar.ts';
import type { BuildCounts } from '../counts.ts';
import type { PartState } from '../output/part-writer.ts';

/*
 * The journal of a build in the making, one JSON object a line:
 *
 *   start       what is built from what: a later run must ask for the same
 *   checkpoint  up to where the inputs are done, and how far the files go that hold the result
 *   prepared    all files are written: what is left is to give them their names
 *
 * Only whole lines count: the last one of a killed process may be cut.
 */

export interface JournalStart {
  kind: 'start';
  version: 1;
  /** Everything that decides the bytes of the output, besides the inputs. */
  options: Record<string, unknown>;
  inputs: Pick<InputFile, 'path' | 'byteLength' | 'modifiedMs' | 'range'>[];
}

/** How far a build has come. */
export interface RunState {
  /** Inputs that are done; the next one may be done in part. */
  input: number;
  /** Byte of that input where reading goes on; absent at its beginning. */
  resumeAt?: number;
  /** Lines, or rows, of that input that are done. */
  lines: number;
  documents: number;
  counts: BuildCounts;
}

export interface Checkpoint extends RunState {
  kind: 'checkpoint';
  /** Inputs that were finished since the checkpoint before. */
  records: SidecarInput[];
  parts: PartState[];
  rejectsBytes: number;
}

export interface Prepared {
  kind: 'prepared';
  /** From, to; the order matters. */
  renames: [string, string][];
  /** The result of the build, as it is returned. */
  result: unknown;
}

export type JournalEntry = JournalStart | Checkpoint | Prepared;

/** What a journal says. */
export interface Journal {
  start: JournalStart;
  /** In order; each with the records of those before it. */
  checkpoints: Checkpoint[];
  prepared?: Prepared;
}

/** A journal from its text; `undefined` when not even its first line is whole. */
export function parseJournal(text: string): Journal | undefined {
  const entries: JournalEntry[] = [];
  for (const line of text.split('\n').slice(0, -1)) {
    try {
      entries.push(JSON.parse(line) as JournalEntry);
    } catch {
      // cut when its process was killed
    }
  }
  const [start] = entries;
  if (start?.kind !== 'start' || start.version !== 1) return undefined;
  const records: SidecarInput[] = [];
  const checkpoints = entries.flatMap((entry) => {
    if (entry.kind !== 'checkpoint') return [];
    records.push(...entry.records);
    return [{ ...entry, records: records.slice(0, entry.input) }];
  });
  const prepared = entries.find((entry) => entry.kind === 'prepared');
  return { start, checkpoints, ...(prepared && { prepared }) };
}

export function serializeEntry(entry: JournalEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

/** Tells whether a finished file with a new time still has the bytes that were read. */
export type IsUnchanged = (path: string, record: SidecarInput) => Promise<boolean>;

/**
 * The last checkpoint that a build can go on from, or in words why there is none. A file that was read to its end must be as it
 * was; one that changed while it was read in part, or before it was read, only takes the build back to where it began.
 */
export async function findResumePoint(
  { start, checkpoints }: Journal,
  now: JournalStart,
  isUnchanged: IsUnchanged,
): Promise<{ checkpoint: Checkpoint } | { differences: string[] }> {
  const differences = compareOptions(start.options, now.options);
  if (start.inputs.length !== now.inputs.length) {
    differences.push(`there were ${start.inputs.length} inputs, now ${now.inputs.length}`);
    return { differences };
  }
  const isTouched = start.inputs.map((before, i) => isOther(before, now.inputs[i] as JournalInput));
  const checkpoint = checkpoints.findLast(({ input, resumeAt }) => resumeAt === undefined || !isTouched[input]);
  for (const [i, before] of start.inputs.entries()) {
    const after = now.inputs[i] as JournalInput;
    const record = checkpoint?.records[i];
    if (placeOf(before) !== placeOf(after)) differences.push(`input ${i + 1} was ${before.path}, now ${after.path}`);
    else if (!record || !isTouched[i]) continue;
    else if (before.byteLength !== after.byteLength)
      differences.push(`${after.path} had ${before.byteLength} bytes, now ${after.byteLength}`);
    else if (!(await isUnchanged(after.path, record))) differences.push(`${after.path} was changed`);
  }
  if (differences.length > 0) return { differences };
  return checkpoint ? { checkpoint } : { differences: ['the only input read so far was changed'] };
}

type JournalInput = JournalStart['inputs'][number];

const placeOf = ({ path, range }: JournalInput): string => JSON.stringify([path, range]);
const isOther = (before: JournalInput, after: JournalInput): boolean =>
  before.byteLength !== after.byteLength || before.modifiedMs !== after.modifiedMs;

/** A build that would have failed at the first bad record has met none, so it may go on under any other policy. */
const POLICIES = new Set(['onBad', 'onInvalidUtf8']);

function compareOptions(before: Record<string, unknown>, now: Record<string, unknown>): string[] {
  const differences: string[] = [];
  for (const name of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const [was, is] = [before[name], now[name]].map((value) => JSON.stringify(value) ?? 'not set');
    if (was !== is && !(POLICIES.has(name) && before[name] === 'fail'))
      differences.push(`${name} was ${was}, now ${is}`);
  }
  return differences;
}

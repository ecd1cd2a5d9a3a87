import { createRedactor } from '../../redact.ts';
import { CAUSES, type CauseId, causeOfLine, causeOfReason } from './causes.ts';
import { timeOfLine } from './log-time.ts';

/** The log of one incarnation of a pod, oldest line first. */
export interface PodText {
  readonly podId: string;
  readonly podUid?: string | undefined;
  readonly lines: readonly string[];
}

/** A sign of a failure. */
export interface Symptom {
  readonly cause: CauseId;
  /** Absent for what PAI itself says. */
  readonly podId?: string;
  /** As the log prints it, without a zone; of the last line with a time where the line itself has none. */
  readonly at?: string;
  /** The line, or PAI's words. */
  readonly text: string;
}

/** Why a job failed, as far as its logs and PAI tell. */
export interface JobFailure {
  readonly cause: CauseId | 'unknown';
  readonly title: string;
  readonly advice: string;
  readonly podId?: string;
  readonly at?: string;
  /** The lines around the first sign, in the order of the log. */
  readonly evidence: readonly string[];
  /** What followed from it, one for each kind and pod, earliest first. */
  readonly consequences: readonly Symptom[];
  /** Of how many pods a log could be read. */
  readonly podsRead: number;
  readonly pods: number;
}

const BEFORE = 2;
const AFTER = 6;
const LONGEST_EVIDENCE = 400;
const MOST_CONSEQUENCES = 16;

interface Found extends Symptom {
  readonly ms: number | undefined;
  readonly pod?: PodText;
  readonly index?: number;
}

/**
 * The failure that these logs and reasons tell of. The earliest error over all pods is the cause; what NCCL and torchrun
 * say is so only when nothing else is. PAI's own reason decides where it names a kind.
 * @param reasons PAI's words on the job and its pods, newest first.
 * @param year of the logs, for times that are printed without one.
 */
export function attributeFailure(
  logs: readonly PodText[],
  reasons: readonly string[],
  { year, pods = logs.length }: { year: number; pods?: number },
): JobFailure {
  const symptoms = logs.flatMap((pod) => symptomsOf(pod, year));
  const platform = reasons.flatMap((text): Found[] => {
    const cause = causeOfReason(text);
    return cause ? [{ cause, text, ms: undefined }] : [];
  });
  const first = platform[0] ?? earliest(symptoms);
  const read = { podsRead: logs.length, pods };
  if (!first) {
    const title = 'neither the logs nor PAI tell why it failed';
    const advice = 'look at the end of each pod’s log and at the events of job and pods';
    return { cause: 'unknown', title, advice, evidence: reasons.slice(0, 3), consequences: [], ...read };
  }
  const { title, advice } = CAUSES[first.cause];
  return {
    ...{ cause: first.cause, title, advice },
    ...(first.podId === undefined ? {} : { podId: first.podId }),
    ...(first.at === undefined ? {} : { at: first.at }),
    evidence: evidenceOf(first),
    consequences: consequencesOf(first, [...platform.slice(1), ...symptoms]),
    ...read,
  };
}

function symptomsOf(pod: PodText, year: number): Found[] {
  const found: Found[] = [];
  let ms: number | undefined;
  for (const [index, line] of pod.lines.entries()) {
    ms = timeOfLine(line, year) ?? ms;
    const cause = causeOfLine(line);
    if (!cause) continue;
    const at = ms === undefined ? {} : { at: new Date(ms).toISOString().slice(0, -1) };
    found.push({ cause, podId: pod.podId, ...at, text: clip(line), ms, pod, index });
  }
  return found;
}

/**
 * The earliest sign. One without a time is taken for earlier than those of the `late` kind, which come minutes after the
 * cause; and a `first` after a `late` one is no cause: a rank that is torn down may still run out of memory (nccl#1284).
 */
function earliest(symptoms: readonly Found[]): Found | undefined {
  const of = (...places: string[]) => symptoms.filter(({ cause }) => places.includes(CAUSES[cause].place));
  const timed = of('first', 'late')
    .filter(({ ms }) => ms !== undefined)
    .sort((a, b) => (a.ms as number) - (b.ms as number) || rank(a) - rank(b));
  const [lead] = timed;
  if (lead && CAUSES[lead.cause].place === 'first') return lead;
  const untimed = of('first').find(({ ms }) => ms === undefined);
  return untimed ?? lead ?? of('late')[0] ?? of('echo').sort((a, b) => (a.ms ?? 0) - (b.ms ?? 0))[0];
}

/** In the same moment a cause comes before what follows, and a named kind before an error of any name. */
function rank({ cause }: Found): number {
  if (CAUSES[cause].place !== 'first') return 2;
  return cause === 'exception' ? 1 : 0;
}

function evidenceOf({ pod, index, text }: Found): string[] {
  if (!pod || index === undefined) return [text];
  return pod.lines.slice(Math.max(0, index - BEFORE), index + AFTER + 1).map(clip);
}

function consequencesOf(first: Found, symptoms: readonly Found[]): Symptom[] {
  const told = new Set([`${first.cause} ${first.podId}`]);
  const ordered = [...symptoms].sort((a, b) => (a.ms ?? Number.POSITIVE_INFINITY) - (b.ms ?? Number.POSITIVE_INFINITY));
  const rest = ordered.filter(({ cause, podId }) => {
    const key = `${cause} ${podId}`;
    return !told.has(key) && told.add(key);
  });
  return rest.slice(0, MOST_CONSEQUENCES).map(({ cause, podId, at, text }) => ({
    cause,
    ...(podId === undefined ? {} : { podId }),
    ...(at === undefined ? {} : { at }),
    text,
  }));
}

const { redact } = createRedactor();

/** A line that may be shown: short, and without what looks like a key. */
function clip(line: string): string {
  return redact(line.length > LONGEST_EVIDENCE ? `${line.slice(0, LONGEST_EVIDENCE)}…` : line);
}

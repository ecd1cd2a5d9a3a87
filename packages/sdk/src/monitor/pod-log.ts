import { omitUndefined } from '../omit-undefined.ts';
import type { PaiTransport } from '../pai-transport.ts';
import type { Clock } from '../poll.ts';
import { findOverlap, lineDigest } from './log-overlap.ts';

/** Where a reader of one pod's log stands. Plain data: it can be stored and read on from later. */
export interface LogCursor {
  readonly podId: string;
  readonly podUid?: string;
  /** When the newest known line was first seen, in milliseconds since 1970 by this machine's clock. */
  readonly sinceMs: number;
  /** How far before it the next window begins. */
  readonly overlapMs: number;
  /** Digests of the last known lines, oldest first. */
  readonly known: readonly string[];
}

/** Some lines of one pod’s log, and where to read on. */
export interface LogPage {
  readonly podId: string;
  readonly podUid?: string;
  /** Lines that were not in an earlier page, oldest first. */
  readonly lines: string[];
  readonly cursor: LogCursor;
  /** True when lines before these may have been skipped: PAI gives the newest `MaxLines` of a window only. */
  readonly mayHaveGap: boolean;
}

/** PAI's default, and the largest number that its documentation shows. */
const MAX_LINES = 2000;
const FIRST_OVERLAP_MS = 60_000;
const WIDEST_OVERLAP_MS = 3_600_000;

/**
 * The next lines of a pod's log. PAI has no cursor, only a time window to the second, so each window reaches back over the
 * last known line and the lines known already are taken out. A window without any known line proves nothing (the clocks of
 * pod and reader may differ), so it is widened, at last to the whole log.
 */
export async function readPodLog(
  pai: PaiTransport,
  jobId: string,
  pod: { podId: string; podUid?: string | undefined },
  { cursor, clock, signal }: { cursor?: LogCursor | undefined; clock: Clock; signal?: AbortSignal | undefined },
): Promise<LogPage> {
  const from = cursor?.podId === pod.podId ? cursor : undefined;
  const known = from?.known ?? [];
  for (let overlapMs = from?.overlapMs ?? FIRST_OVERLAP_MS; ; overlapMs *= 8) {
    const askedAt = clock.now();
    const isWhole = known.length === 0 || overlapMs > WIDEST_OVERLAP_MS;
    const query = omitUndefined({
      PodUid: pod.podUid,
      StartTime: isWhole || !from ? undefined : toSecond(from.sinceMs - overlapMs),
      MaxLines: MAX_LINES,
    });
    const answer = await pai.call('GetPodLogs', { path: { JobId: jobId, PodId: pod.podId }, query }, { signal });
    const podUid = answer.PodUid ?? pod.podUid;
    // A pod that was restarted under the same name has a log of its own.
    if (from && from.podUid !== podUid) return readPodLog(pai, jobId, pod, { clock, signal });

    const window = answer.Logs ?? [];
    const overlap = findOverlap(known, window.map(lineDigest));
    if (!overlap.isConnected && !isWhole) continue;

    const hasNew = overlap.fresh.length > 0;
    const identity = omitUndefined({ podId: pod.podId, podUid });
    return {
      ...identity,
      lines: overlap.fresh.map((index) => window[index] as string),
      cursor: {
        ...identity,
        sinceMs: hasNew || from === undefined ? askedAt : from.sinceMs,
        overlapMs,
        known: overlap.merged.slice(-2 * MAX_LINES),
      },
      mayHaveGap: window.length >= MAX_LINES && (known.length === 0 || !overlap.isConnected),
    };
  }
}

/** ISO 8601 to the second, as PAI wants it. */
function toSecond(ms: number): string {
  return `${new Date(Math.max(0, ms)).toISOString().slice(0, 19)}Z`;
}

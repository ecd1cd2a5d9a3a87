import type { PaiInput } from '../src/pai-transport.ts';
import type { PaiCalls, WireJob, WirePod } from '../src/pai-wire.ts';
import { paiError } from './scripted-pai.ts';

/** A log as PAI keeps it: lines with the time they were written and the time they reached the store. */
interface StoredLine {
  readonly text: string;
  readonly writtenAt: number;
  readonly storedAt: number;
}

/** The logs of a job's pods, answered as GetPodLogs answers: the newest lines of a window, to the second. */
export class LogStore {
  readonly #lines = new Map<string, StoredLine[]>();
  readonly #now: () => number;
  /** Windows asked for, in order. */
  readonly asked: { podId: string; podUid?: string; startTime?: string }[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Appends a line; `storedAt` later than now makes it late, `writtenAt` may differ from now as clocks do. */
  write(podUid: string, text: string, { writtenAt = this.#now(), storedAt = this.#now() } = {}): void {
    const lines = this.#lines.get(podUid) ?? [];
    lines.push({ text, writtenAt, storedAt });
    this.#lines.set(podUid, lines);
  }

  /** A GetPodLogs handler. `uidOf` names the pod's present uid for a request that gives none. */
  answer({ path, query }: PaiInput<'GetPodLogs'>, uidOf: (podId: string) => string): PaiCalls['GetPodLogs']['answer'] {
    const podUid = query.PodUid ?? uidOf(path.PodId);
    this.asked.push({ podId: path.PodId, podUid, ...(query.StartTime ? { startTime: query.StartTime } : {}) });
    const lines = this.#lines.get(podUid);
    if (!lines) throw paiError('CPT_PAI_NOT_FOUND', { status: 404 });
    const from = query.StartTime ? Date.parse(query.StartTime) : 0;
    const visible = lines.filter(
      ({ writtenAt, storedAt }) => storedAt <= this.#now() && Math.floor(writtenAt / 1000) * 1000 >= from,
    );
    const Logs = visible.slice(-(query.MaxLines ?? 2000)).map(({ text }) => text);
    return { Logs, JobId: path.JobId, PodId: path.PodId, PodUid: podUid };
  }
}

export function wireJob(Status: string, Pods: WirePod[] = [], more: Partial<WireJob> = {}): WireJob {
  return { JobId: 'dlc1', DisplayName: 'a', Status, GmtCreateTime: '2026-11-24T00:00:00Z', Pods, ...more };
}

export const pod = (name: string, PodUid = `uid-${name}`): WirePod => ({
  PodId: `dlc1-${name}`,
  PodUid,
  Type: name.startsWith('master') ? 'Master' : 'Worker',
  Status: 'Running',
});

export const iterationLine = (iteration: number, total = 100): string =>
  ` [2026-11-24 00:00:00] iteration ${String(iteration).padStart(8)}/${String(total).padStart(8)} | consumed samples: ${iteration * 8} | lm loss: 2.500000E+00 | grad norm: 1.000 | number of nan iterations:   0 |`;

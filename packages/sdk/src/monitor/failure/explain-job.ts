import { CptError } from '@pai-cpt/core';
import { omitUndefined } from '../../omit-undefined.ts';
import type { PaiTransport } from '../../pai-transport.ts';
import type { WireJob, WirePod } from '../../pai-wire.ts';
import { isTrainingJobId } from '../../training-jobs.ts';
import { attributeFailure, type JobFailure, type PodText } from './attribute.ts';

/** How much to read. */
export interface ExplainOptions {
  /** Pods whose logs are read, those that failed first; by default 64. */
  pods?: number | undefined;
  /** Newest lines of each log; by default 2000, which is what PAI gives. */
  lines?: number | undefined;
  signal?: AbortSignal | undefined;
}

const PODS = 64;
const LINES = 2000;
const AT_ONCE = 8;

/**
 * Why a job failed: reads the ends of its pods' logs, those of pods that were replaced too, and what PAI says. A job that
 * has not failed is answered in the same way: its logs may hold the errors of an earlier attempt.
 * @throws PaiError `CPT_PAI_NOT_FOUND` when there is no such job. A log that cannot be read is left out; `podsRead` tells.
 */
export async function explainJob(
  pai: PaiTransport,
  jobId: string,
  { pods: mostPods = PODS, lines = LINES, signal }: ExplainOptions = {},
): Promise<JobFailure> {
  const job = await pai.call('GetJob', { path: { JobId: jobId } }, { signal });
  const pods = incarnationsOf(job).slice(0, mostPods);
  const logs: PodText[] = [];
  for (let at = 0; at < pods.length; at += AT_ONCE) {
    const some = pods.slice(at, at + AT_ONCE).map((pod) => readEnd(pai, jobId, pod, lines, signal));
    for (const log of await Promise.all(some)) if (log) logs.push(log);
  }
  const failed = pods.filter(({ Status }) => Status === 'Failed').slice(0, AT_ONCE);
  const events = await Promise.all(failed.map((pod) => readEvents(pai, jobId, pod, signal)));
  const year = new Date(job.GmtFinishTime || job.GmtCreateTime).getUTCFullYear();
  return attributeFailure(logs, [...reasonsOf(job), ...events.flat()], { year, pods: incarnationsOf(job).length });
}

/** Failed pods first, then the others as PAI lists them, each with those that it replaced. */
function incarnationsOf(job: WireJob): WirePod[] {
  const all = (job.Pods ?? []).flatMap((pod) => [
    pod,
    ...(pod.HistoryPods ?? []).map((old) => ({ ...old, PodId: old.PodId || pod.PodId })),
  ]);
  const hasFailed = ({ Status }: WirePod): boolean => Status === 'Failed';
  return [...all.filter(hasFailed), ...all.filter((pod) => !hasFailed(pod))];
}

/** PAI's words on the job, newest first. */
function reasonsOf({ ReasonCode, ReasonMessage, StatusHistory = [] }: WireJob): string[] {
  const history = [...StatusHistory].reverse();
  const pairs = [{ ReasonCode, ReasonMessage }, ...history];
  const texts = pairs.flatMap((pair) => [pair.ReasonCode, pair.ReasonMessage].filter(Boolean).join(': ') || []);
  return [...new Set(texts)];
}

async function readEnd(
  pai: PaiTransport,
  jobId: string,
  pod: WirePod,
  lines: number,
  signal: AbortSignal | undefined,
): Promise<PodText | undefined> {
  const query = omitUndefined({ PodUid: pod.PodUid || undefined, MaxLines: lines });
  try {
    const { Logs } = await pai.call('GetPodLogs', { path: { JobId: jobId, PodId: pod.PodId }, query }, { signal });
    return { podId: pod.PodId, podUid: pod.PodUid, lines: Logs ?? [] };
  } catch (error) {
    if (CptError.isInstance(error)) return undefined;
    throw error;
  }
}

async function readEvents(
  pai: PaiTransport,
  jobId: string,
  pod: WirePod,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  if (isTrainingJobId(jobId)) return [];
  const path = { JobId: jobId, PodId: pod.PodId };
  try {
    const { Events } = await pai.call('GetPodEvents', { path, query: { MaxEventsNum: 100 } }, { signal });
    // Its own end is told by every event stream; only what went wrong is a reason.
    return (Events ?? []).filter((event) => /warning|fail|error|kill|evict|preempt/i.test(event)).reverse();
  } catch (error) {
    if (CptError.isInstance(error)) return [];
    throw error;
  }
}

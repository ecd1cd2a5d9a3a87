import type { DetectorState, Draft, Signal } from '../detector-state.ts';
import type { MetricsEvent, PodUse } from '../job-metrics.ts';

/**
 * PAI's figure counts the time in which any kernel runs, and a rank that waits for the others runs the one that waits: a
 * pod that trains shows 80 % and more however slow the job is, so one below this does not train.
 */
const IDLE_PERCENT = 20;
/** One look may fall into a checkpoint or a validation. */
const IDLE_LOOKS = 3;
const MOST_NAMED = 5;

/** G1: a pod has hardly used its GPUs for three looks, though iterations have begun. A pod without the metric is not judged. */
export function checkGpuUse(state: DetectorState, event: MetricsEvent): { state: DetectorState; signals: Signal[] } {
  const idleLooks: Record<string, number> = {};
  const measured = event.pods.filter((pod): pod is PodUse & { gpuPercent: number } => pod.gpuPercent !== undefined);
  for (const { podId, gpuPercent } of measured) {
    if (gpuPercent < IDLE_PERCENT) idleLooks[podId] = (state.idleLooks[podId] ?? 0) + 1;
  }
  const next: Draft = { ...state, idleLooks };
  const idle = measured.filter(({ podId }) => (idleLooks[podId] ?? 0) >= IDLE_LOOKS);
  if (idle.length === 0 || !state.last) return { state: next, signals: [] };
  const value = Math.min(...idle.map(({ gpuPercent }) => gpuPercent));
  const busy = measured.filter((pod) => !idle.includes(pod));
  const message =
    busy.length === 0
      ? `all ${idle.length} pods use less than ${IDLE_PERCENT} % of their GPUs: they wait for data, for storage or for the network`
      : `${nameSome(idle)} while ${busy.length} of ${measured.length} pods use more`;
  const { iteration } = state.last;
  const signal = { rule: 'G1', level: 'warn', iteration, value, threshold: IDLE_PERCENT, message } as const;
  return { state: next, signals: [signal] };
}

function nameSome(pods: readonly { podId: string; gpuPercent: number }[]): string {
  const named = pods.slice(0, MOST_NAMED).map(({ podId, gpuPercent }) => `${podId} (${gpuPercent.toFixed(0)} %)`);
  const others = pods.length > MOST_NAMED ? ` and ${pods.length - MOST_NAMED} more` : '';
  return `${named.join(', ')}${others} hardly use${pods.length === 1 ? 's its' : ' their'} GPUs`;
}

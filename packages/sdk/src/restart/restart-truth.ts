import type { PlanFacts } from '../plan/plan-facts.ts';
import { type ResumeOutcome, resumeOutcome } from '../plan/resume.ts';
import type { CompleteCheckpoint, FoundCheckpoints } from './checkpoints.ts';
import { type PartFate, partsOf } from './parts.ts';

/** What a restart of a job as it is would do, and what is lost by it. */
export interface RestartTruth {
  readonly outcome: ResumeOutcome;
  /** True when the platform restarts it without being asked. */
  readonly restartsByItself: boolean;
  readonly parts: readonly PartFate[];
  /** The newest complete checkpoint; absent when there is none, or none could be looked at. */
  readonly checkpoint?: CompleteCheckpoint;
  /** Iterations that would be trained again; absent while the last iteration is not known. */
  readonly lostIterations?: number;
  /** One sentence for a person. */
  readonly summary: string;
  readonly notes: readonly string[];
}

/** Pure: the launcher's flags, by default those of Pai-Megatron-Patch's scripts, and what lies in the output folder. */
export function restartTruth({
  launcher = {},
  checkpoints,
  lastIteration,
}: {
  launcher?: PlanFacts['launcher'];
  checkpoints?: FoundCheckpoints | undefined;
  lastIteration?: number | undefined;
}): RestartTruth {
  const {
    savesOptimizer = false,
    loadsOptimizer = false,
    loadsFromOutput = false,
    restartsByItself = false,
  } = launcher;
  const outcome = resumeOutcome({ savesOptimizer, loadsOptimizer, loadsFromOutput });
  const newest = checkpoints?.newest;
  const goesOn = outcome === 'from-base' ? undefined : newest;
  const lostIterations = lastIteration === undefined ? undefined : lastIteration - (goesOn?.iteration ?? 0);
  const lost = lostIterations === undefined ? 'all since then' : `${lostIterations} iterations`;
  const from = goesOn ? `goes on from iteration ${goesOn.iteration}` : 'begins again at iteration 0';
  const rest =
    !goesOn && newest ? `, though iteration ${newest.iteration} is saved: jobs.resume() goes on from there` : '';
  return {
    outcome,
    restartsByItself,
    parts: partsOf(outcome, newest),
    ...(newest ? { checkpoint: newest } : {}),
    ...(lostIterations === undefined ? {} : { lostIterations }),
    summary: `a restart of this job ${from} and loses ${lost}${rest}`,
    notes: [
      ...(checkpoints?.notes ?? ['the output folder was not looked at']),
      ...(checkpoints?.incomplete ?? []).map(
        ({ iteration, problems }) => `iteration ${iteration} is not complete: ${problems.join('; ')}`,
      ),
    ],
  };
}

/** Every status of a DLC job and the phase we call it. The one place where a status means something. */
export const DLC_JOB_STATUS = {
  Creating: 'pending',
  Queuing: 'pending',
  Bidding: 'pending',
  EnvPreparing: 'pending',
  SanityChecking: 'pending',
  Running: 'running',
  Restarting: 'running',
  Stopping: 'running',
  Succeeded: 'succeeded',
  SucceededReserving: 'succeeded',
  Failed: 'failed',
  FailedReserving: 'failed',
  Stopped: 'stopped',
} as const;

/** A status that the table knows. */
export type DlcJobStatus = keyof typeof DLC_JOB_STATUS;

/** Every status of a training job of PAI Studio (QuickStart). Its success is spelt Succeed. */
export const TRAINING_JOB_STATUS = {
  Creating: 'pending',
  Created: 'pending',
  Initializing: 'pending',
  Submitted: 'pending',
  Running: 'running',
  Succeed: 'succeeded',
  Failed: 'failed',
  InitializeFailed: 'failed',
  // Not in the list that PAI's own Python SDK waits for, which then waits for ever.
  CreateFailed: 'failed',
  Terminated: 'stopped',
} as const;

/** Both tables: what they share means the same in both. */
const JOB_STATUS: Readonly<Record<string, JobPhase>> = { ...DLC_JOB_STATUS, ...TRAINING_JOB_STATUS };

/** Where a job can stand, in our words. */
export const JOB_PHASES = ['pending', 'running', 'succeeded', 'failed', 'stopped', 'unknown'] as const;
/** One of `JOB_PHASES`. */
export type JobPhase = (typeof JOB_PHASES)[number];

/** The phase of a status; a status that PAI may add is `unknown`, which is neither an end nor an error. */
export function jobPhaseOf(status: string): JobPhase {
  return Object.hasOwn(JOB_STATUS, status) ? (JOB_STATUS[status] as JobPhase) : 'unknown';
}

/** True when the training has ended, well or badly; its log grows no more. */
export function isTerminalPhase(phase: JobPhase): boolean {
  return phase === 'succeeded' || phase === 'failed' || phase === 'stopped';
}

/** True when nothing is left to stop. A job in `…Reserving` has ended but still holds its machines, and is paid for. */
export function isFinalStatus(status: string): boolean {
  return isTerminalPhase(jobPhaseOf(status)) && !status.endsWith('Reserving');
}

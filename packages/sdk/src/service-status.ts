/**
 * Every status of an EAS service and the phase we call it. PAI publishes no complete list; these are the ones seen in its
 * SDKs and documents. `Updating` and its like keep the old version serving.
 */
export const EAS_SERVICE_STATUS = {
  Creating: 'pending',
  Deploying: 'pending',
  Waiting: 'pending',
  Starting: 'pending',
  Cloning: 'pending',
  Committed: 'pending',
  Developing: 'pending',
  Running: 'running',
  Scaling: 'running',
  Updating: 'running',
  HotUpdate: 'running',
  Complete: 'running',
  Stopping: 'stopped',
  Stopped: 'stopped',
  Deleting: 'stopped',
  Failed: 'failed',
  CreateFailed: 'failed',
  DeleteFailed: 'failed',
} as const;

/** A status that the table knows. */
export type EasServiceStatus = keyof typeof EAS_SERVICE_STATUS;

/** Where a service can stand, in our words. */
export const SERVICE_PHASES = ['pending', 'running', 'stopped', 'failed', 'unknown'] as const;
/** One of `SERVICE_PHASES`. */
export type ServicePhase = (typeof SERVICE_PHASES)[number];

/** The phase of a status; a status that is not in the table is `unknown`, which keeps a wait waiting. */
export function servicePhaseOf(status: string): ServicePhase {
  return Object.hasOwn(EAS_SERVICE_STATUS, status) ? EAS_SERVICE_STATUS[status as EasServiceStatus] : 'unknown';
}

import { expect, it } from 'vitest';
import {
  DLC_JOB_STATUS,
  isFinalStatus,
  isTerminalPhase,
  JOB_PHASES,
  jobPhaseOf,
  TRAINING_JOB_STATUS,
} from './job-status.ts';

// Every value that pai-api.md §1 lists for the status of a job.
const STATUSES = [
  ...['Creating', 'Queuing', 'Bidding', 'EnvPreparing', 'SanityChecking', 'Running', 'Restarting', 'Stopping'],
  ...['SucceededReserving', 'FailedReserving', 'Succeeded', 'Failed', 'Stopped'],
];

it('has a phase for every status', () => {
  expect(Object.keys(DLC_JOB_STATUS).sort()).toEqual([...STATUSES].sort());
  for (const status of STATUSES) expect(JOB_PHASES).toContain(jobPhaseOf(status));
});

// Every value that pai-api.md §3 lists for the status of a training job.
it.each([
  ...[
    ['Creating', 'pending'],
    ['Created', 'pending'],
    ['Initializing', 'pending'],
    ['Submitted', 'pending'],
  ],
  ...[
    ['Running', 'running'],
    ['Succeed', 'succeeded'],
    ['Failed', 'failed'],
    ['Terminated', 'stopped'],
  ],
  ...[
    ['InitializeFailed', 'failed'],
    ['CreateFailed', 'failed'],
  ],
])('calls the training job that is %s %s', (status, phase) => {
  expect(jobPhaseOf(status)).toBe(phase);
  expect(isFinalStatus(status)).toBe(['succeeded', 'failed', 'stopped'].includes(phase));
});

it('means the same by a status that both kinds of job have', () => {
  const dlc: Readonly<Record<string, string>> = DLC_JOB_STATUS;
  for (const [status, phase] of Object.entries(TRAINING_JOB_STATUS)) expect(dlc[status] ?? phase).toBe(phase);
  expect(Object.keys(TRAINING_JOB_STATUS)).toHaveLength(10);
});

it.each(['Defragmenting', '', 'constructor', '__proto__', 'running'])('calls %j unknown, which is no end', (status) => {
  expect(jobPhaseOf(status)).toBe('unknown');
  expect(isTerminalPhase(jobPhaseOf(status))).toBe(false);
  expect(isFinalStatus(status)).toBe(false);
});

it('tells the end of the training from the end of the machines', () => {
  const ended = STATUSES.filter((status) => isTerminalPhase(jobPhaseOf(status)));
  expect(ended.sort()).toEqual(['Failed', 'FailedReserving', 'Stopped', 'Succeeded', 'SucceededReserving']);
  expect(STATUSES.filter(isFinalStatus).sort()).toEqual(['Failed', 'Stopped', 'Succeeded']);
});

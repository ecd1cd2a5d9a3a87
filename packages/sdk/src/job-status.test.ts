import { expect, it } from 'vitest';
import { DLC_JOB_STATUS, isFinalStatus, isTerminalPhase, JOB_PHASES, jobPhaseOf } from './job-status.ts';

// Every value that pai-api.md §1 lists for the status of a job.
const STATUSES = [
  ...['Creating', 'Queuing', 'Bidding', 'EnvPreparing', 'SanityChecking', 'Running', 'Restarting', 'Stopping'],
  ...['SucceededReserving', 'FailedReserving', 'Succeeded', 'Failed', 'Stopped'],
];

it('has a phase for every status', () => {
  expect(Object.keys(DLC_JOB_STATUS).sort()).toEqual([...STATUSES].sort());
  for (const status of STATUSES) expect(JOB_PHASES).toContain(jobPhaseOf(status));
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

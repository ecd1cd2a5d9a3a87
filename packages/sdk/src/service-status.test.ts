import { expect, it } from 'vitest';
import { EAS_SERVICE_STATUS, SERVICE_PHASES, servicePhaseOf } from './service-status.ts';

it('has a phase for every status in the table, and for those of alipai', () => {
  for (const status of Object.keys(EAS_SERVICE_STATUS)) expect(SERVICE_PHASES).toContain(servicePhaseOf(status));
  const alipai = ['Running', 'Waiting', 'Scaling', 'Stopped', 'Failed', 'DeleteFailed'];
  expect(alipai.map(servicePhaseOf)).toEqual(['running', 'pending', 'running', 'stopped', 'failed', 'failed']);
});

it.each(['Hibernating', '', 'toString'])('calls %j unknown', (status) => {
  expect(servicePhaseOf(status)).toBe('unknown');
});

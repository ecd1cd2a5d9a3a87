import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { caller, openSandbox, type Sandbox, sendRaw, until } from './client.ts';

const JOBS = '/api/v1/jobs';

let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await openSandbox();
  await mkdir(join(sandbox.directory, 'images/shell/bin'), { recursive: true });
});
afterEach(() => sandbox.close());

it('brings lines of a log late and out of order, and has all of them in the end', async () => {
  const { url } = await sandbox.start({ controlToken: 'token' });
  const call = caller(url, '2020-12-03');
  const spec = { Type: 'Worker', Image: 'shell', PodCount: 1, EcsSpec: 'ecs.c6.large' };
  const body = { DisplayName: 'x', JobType: 'PyTorchJob', JobSpecs: [spec], UserCommand: 'seq 5' };
  const { JobId } = (await call('CreateJob', 'POST', JOBS, { body })).body;
  await until(
    () => call('GetJob', 'GET', `${JOBS}/${JobId}`),
    (answer) => answer.body.Status === 'Succeeded',
  );
  const logs = async () => (await call('GetPodLogs', 'GET', `${JOBS}/${JobId}/pods/${JobId}-worker-0/logs`)).body.Logs;
  const strike = (fault: string) =>
    sendRaw(url, {
      method: 'PUT',
      url: '/_local/faults',
      headers: [['authorization', 'Bearer token']],
      body: JSON.stringify({ rules: [{ fault, action: 'GetPodLogs', times: 1 }] }),
    });
  const all = await logs();
  expect(all.map((line: string) => line.at(-1))).toEqual(['1', '2', '3', '4', '5']);
  expect((await strike('late-log-lines')).status).toBe(200);
  expect(await logs()).toEqual([all[0], all[1], all[3], all[4]]);
  expect(await logs()).toEqual(all);
  await strike('disordered-log');
  expect(await logs()).toEqual([all[1], all[0], all[3], all[2], all[4]]);
});

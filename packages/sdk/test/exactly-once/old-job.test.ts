import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPaiLocal } from '@pai-cpt/pai-local';
import { expect, it } from 'vitest';
import { CptClient, memoryJournal } from '../../src/index.ts';
import { sample72B } from '../sample-specs.ts';
import { inProcessClient } from './in-process-pai.ts';
import { virtualClock } from './virtual-clock.ts';

it('finds its job a month later, though PAI lists seven days unless asked for more', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'old-job-'));
  const clock = virtualClock();
  const pai = await buildPaiLocal({
    ...{ accessKeys: { id: 'secret' }, clock, pace: 1e12 },
    ...{ stateDirectory: join(directory, 'state'), nasDirectory: join(directory, 'nas') },
  });
  const passage = { before() {}, sent() {}, after() {} };
  const transport = inProcessClient(pai, clock, () => 0.5, passage);
  const submit = () =>
    new CptClient({ regionId: 'cn-hangzhou', clock, transport }).jobs.submit(sample72B, {
      ...{ key: 'monday', journal: memoryJournal() },
    });
  const first = await submit();
  await clock.sleep(30 * 24 * 3_600_000);
  expect(await submit()).toMatchObject({ jobId: first.jobId, submission: { how: 'adopted' } });
  clock.finish();
  await pai.close();
  await rm(directory, { recursive: true });
});

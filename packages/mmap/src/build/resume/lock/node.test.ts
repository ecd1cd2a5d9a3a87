import { spawnSync } from 'node:child_process';
import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { refusal, temporaryFolder } from '../../../../test/fixtures.ts';
import { describeProcess, type Holder, STALE_MS, takeLock } from './node.ts';

const mine = await describeProcess();
const elsewhere: Holder = { ...mine, pid: 4242, host: 'another', kernel: 'boot-id pid:[1]', token: 'theirs' };

/** A folder that `holder` locked `ageMs` ago. */
function lockedFolder(holder: Holder | string, ageMs = 0): string {
  const folder = temporaryFolder();
  const path = join(folder, 'lock-1');
  writeFileSync(path, typeof holder === 'string' ? holder : JSON.stringify(holder));
  const seconds = (Date.now() - ageMs) / 1000;
  utimesSync(path, seconds, seconds);
  return folder;
}

test('a folder is held by one, and free again after', async () => {
  const folder = temporaryFolder();
  const lock = await takeLock(folder);
  expect(await lock.isHeld()).toBe(true);
  expect(await refusal(takeLock(folder))).toMatchObject({ code: 'CPT_INPUT_BUILD_RUNNING' });
  await lock.release();
  expect(readdirSync(folder)).toEqual([]);
  await (await takeLock(folder)).release();
});

test('of many that come at once one gets it', async () => {
  const folder = temporaryFolder();
  const taken = await Promise.allSettled(Array.from({ length: 20 }, () => takeLock(folder)));
  const locks = taken.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  expect(locks).toHaveLength(1);
  for (const lock of locks) await lock.release();
});

test('a holder on another machine counts as alive while its lock is renewed, and not for ever', async () => {
  const error = await refusal(takeLock(lockedFolder(elsewhere, STALE_MS - 30_000)));
  expect(error.message).toContain('process 4242 on another builds this dataset');
  const lock = await takeLock(lockedFolder(elsewhere, STALE_MS + 30_000));
  expect(await lock.isHeld()).toBe(true);
  await lock.release();
});

test('a container beside this one has its own numbers of processes, whatever the host is called', async () => {
  const beside = { ...elsewhere, pid: mine.pid, host: mine.host };
  expect(await refusal(takeLock(lockedFolder(beside)))).toMatchObject({ code: 'CPT_INPUT_BUILD_RUNNING' });
});

test('on this machine the holder is looked up: one that is gone, or began at another time, holds nothing', async () => {
  const { pid } = spawnSync('true');
  for (const holder of [
    { ...mine, pid, token: 'gone' },
    { ...mine, began: '1', token: 'an earlier process of this number' },
  ]) {
    await (await takeLock(lockedFolder(holder))).release();
  }
  expect(await refusal(takeLock(lockedFolder({ ...mine, token: 'alive' })))).toBeDefined();
});

test('a lock that is not whole is held until it is old', async () => {
  expect(await refusal(takeLock(lockedFolder('{"pi')))).toMatchObject({ code: 'CPT_INPUT_BUILD_RUNNING' });
  await (await takeLock(lockedFolder('{"pi', STALE_MS + 30_000))).release();
});

test('who was taken for dead finds out, and leaves the lock of the heir alone', async () => {
  const folder = temporaryFolder();
  const lock = await takeLock(folder);
  writeFileSync(join(folder, 'lock-2'), JSON.stringify(elsewhere));
  expect(await lock.isHeld()).toBe(false);
  await lock.release();
  expect(readdirSync(folder)).toEqual(['lock-2']);
});

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRunning, until } from '../test/client.ts';
import { systemClock } from './clock.ts';
import { isLiveIn, startProcessGroup } from './process-group.ts';
import { openLogWriter } from './process-log.ts';
import { type Reaper, startReaper } from './reaper.ts';

let directory: string;
let reaper: Reaper;
let count = 0;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'process-group-'));
  reaper = startReaper();
});
afterAll(async () => {
  reaper.close();
  await rm(directory, { recursive: true });
});

function start(command: string, use = { directory, reaper }) {
  const path = join(directory, `${count++}.log`);
  const group = startProcessGroup({
    command,
    env: { PATH: process.env.PATH ?? '' },
    log: openLogWriter(path, Date.now),
    clock: systemClock,
    ...use,
  });
  return { group, output: async () => (await readFile(path, 'utf8')).replaceAll(/^\d+ /gm, '') };
}

/** The numbers that a command has printed, one a line, once there are `wanted` of them. */
async function pids(output: () => Promise<string>, wanted: number): Promise<number[]> {
  return until(
    async () => (await output()).split('\n').filter(Boolean).map(Number),
    (found) => found.length >= wanted,
  );
}

describe('startProcessGroup', () => {
  it('reports the exit code and both outputs, and passes on nothing of this process', async () => {
    process.env.PAI_LOCAL_TEST_SECRET = 'secret';
    const { group, output } = start('echo out; echo err >&2; env; exit 3');
    expect(await group.exited).toBe(3);
    expect((await output()).split('\n')).toEqual(expect.arrayContaining(['out', 'err']));
    expect(await output()).not.toContain('secret');
  });

  it('reports a signal as a shell does', async () => {
    expect(await start('kill -9 $$').group.exited).toBe(137);
  });

  it('says why a process could not be started', async () => {
    const { group, output } = start('true', { directory: join(directory, 'none'), reaper });
    expect(await group.exited).toBe(127);
    expect(await output()).toContain('ENOENT');
  });

  it('ends what the shell leaves behind', async () => {
    const { group, output } = start('sleep 60 & echo $!; sleep 0.1');
    expect(await group.exited).toBe(0);
    const [pid] = await pids(output, 1);
    await until(
      () => isRunning(pid as number),
      (is) => !is,
      2000,
    );
  });

  it('gives children that handle SIGTERM the time they were granted', async () => {
    const child = `trap 'sleep 0.3; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done`;
    const { group, output } = start(`sh -c "${child}" & wait`);
    await until(output, (text) => text.includes('ready'));
    await group.terminate(5000);
    expect(await output()).toContain('saved');
  });

  it('kills those that do not go, and is quick for those that do', async () => {
    const stubborn = start(`trap '' TERM; echo $$; while :; do sleep 0.05; done`);
    const [pid] = await pids(stubborn.output, 1);
    const started = Date.now();
    await stubborn.group.terminate(300);
    expect(Date.now() - started).toBeGreaterThanOrEqual(290);
    expect(await isRunning(pid as number)).toBe(false);

    const willing = start('echo 1; sleep 60 & sleep 60');
    await pids(willing.output, 1);
    const asked = Date.now();
    await willing.group.terminate(20_000);
    expect(Date.now() - asked).toBeLessThan(5000);
  });

  it('lets a second caller shorten the grace', async () => {
    const { group, output } = start(`trap '' TERM; echo 1; while :; do sleep 0.05; done`);
    await pids(output, 1);
    const started = Date.now();
    await Promise.all([group.terminate(60_000), group.terminate(100)]);
    expect(Date.now() - started).toBeLessThan(10_000);
  });
});

it('tells the live members of a group, whatever their names', () => {
  expect(isLiveIn(70, '71 (sh) S 1 70 70 0 -1')).toBe(true);
  expect(isLiveIn(70, '71 (a) Z 1) S 1 70 70 0 -1')).toBe(true);
  expect(isLiveIn(70, '71 (sh) Z 1 70 70 0 -1')).toBe(false);
  expect(isLiveIn(70, '71 (sh) X 1 70 70 0 -1')).toBe(false);
  expect(isLiveIn(70, '71 (sh) S 70 71 70 0 -1')).toBe(false);
});

describe('the reaper', () => {
  it('kills the groups it watches when its pipe closes, and spares the others', async () => {
    const own = startReaper();
    const spared = start('echo $$; sleep 60', { directory, reaper: own });
    const doomed = start('echo $$; sleep 60', { directory, reaper: own });
    await pids(doomed.output, 1);
    await pids(spared.output, 1);
    own.forget(spared.group.pid as number);
    own.close();
    expect(await doomed.group.exited).toBe(137);
    expect(await isRunning(spared.group.pid as number)).toBe(true);
    await spared.group.terminate(1000);
  });
});

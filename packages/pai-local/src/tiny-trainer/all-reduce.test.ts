import { afterEach, describe, expect, it } from 'vitest';
import { findFreePort } from '../host.ts';
import { joinReplicaGroup, type ReplicaGroup } from './all-reduce.ts';
import type { Rendezvous } from './rendezvous.ts';

const open: ReplicaGroup[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((group) => group.leave()));
});

async function rendezvous(worldSize: number, changes: Partial<Rendezvous> = {}): Promise<Rendezvous[]> {
  const masterPort = await findFreePort();
  return Array.from({ length: worldSize }, (_, rank) => ({
    rank,
    worldSize,
    masterAddress: '127.0.0.1',
    masterPort,
    fingerprint: 'same',
    timeoutMs: 10_000,
    ...changes,
  }));
}

/** All replicas of a job, in this process. */
async function start(worldSize: number, changes: Partial<Rendezvous> = {}): Promise<ReplicaGroup[]> {
  const groups = await Promise.all((await rendezvous(worldSize, changes)).map(joinReplicaGroup));
  open.push(...groups);
  return groups;
}

const message = (error: Error): string => error.message;

describe('sum', () => {
  it('adds in the order of ranks, so that every replica holds the same bits whichever came first', async () => {
    const groups = await start(3);
    // 1e8 + 1 − 1e8 is 0 in float32 in this order and 1 in any order that adds the 1 last: the order is visible.
    const values = [
      [1e8, 0.5],
      [1, 0.25],
      [-1e8, 0.125],
    ].map((row) => Float32Array.from(row));
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const copies = values.map((row) => row.slice());
      const sums: Promise<void>[] = [];
      for (const rank of order) {
        sums.push((groups[rank] as ReplicaGroup).sum(copies[rank] as Float32Array, 'gradients'));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await Promise.all(sums);
      for (const copy of copies) expect([...copy]).toEqual([0, 0.875]);
    }
  });

  it('sums float64 values and arrays larger than one packet', async () => {
    const groups = await start(2);
    const losses = [Float64Array.of(0.1, 1), Float64Array.of(0.2, 0)];
    await Promise.all(groups.map((group, rank) => group.sum(losses[rank] as Float64Array, 'losses')));
    for (const loss of losses) expect([...loss]).toEqual([0.1 + 0.2, 1]);
    const large = groups.map((_, rank) => new Float32Array(700_001).fill(rank + 1));
    await Promise.all(groups.map((group, rank) => group.sum(large[rank] as Float32Array, 'gradients')));
    for (const array of large) expect(array.every((value) => value === 3)).toBe(true);
  });

  it('leaves the values of a single replica alone', async () => {
    const [group] = await start(1);
    const values = Float32Array.of(1, 2);
    await group?.sum(values, 'gradients');
    await group?.barrier('a save');
    expect([...values]).toEqual([1, 2]);
  });
});

describe('barrier', () => {
  it('holds every replica until the last has come', async () => {
    const groups = await start(3);
    const passed: number[] = [];
    const early = groups.slice(0, 2).map((group) => group.barrier('a save').then(() => passed.push(group.rank)));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(passed).toEqual([]);
    await Promise.all([...early, groups[2]?.barrier('a save')]);
    expect(passed.sort()).toEqual([0, 1]);
  });
});

describe('a lost replica', () => {
  it('fails the others at once, with its rank and what they were doing', async () => {
    const groups = await start(3);
    const waiting = [0, 1].map((rank) =>
      (groups[rank] as ReplicaGroup).sum(new Float32Array(4), 'gradients of iteration 7').catch((error) => error),
    );
    await groups[2]?.leave(new Error('out of memory'));
    const [master, worker] = await Promise.all(waiting);
    expect(master).toMatchObject({ code: 'CPT_TRAIN_PEER_LOST' });
    expect(message(master)).toBe('rank 0, gradients of iteration 7: rank 2 closed its connection');
    expect(worker).toMatchObject({ code: 'CPT_TRAIN_PEER_LOST' });
    expect(message(worker)).toContain('rank 0 ended the job: rank 0, gradients of iteration 7: rank 2 closed');
  });

  it('that is the master tells the others why, even those that ask when it is gone', async () => {
    const groups = await start(2);
    await groups[0]?.leave(new Error('disk full'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await expect(groups[1]?.sum(new Float32Array(4), 'gradients')).rejects.toThrow('rank 0 ended the job: disk full');
  });

  it('that hangs is given up after the timeout', async () => {
    const [master] = await start(2, { timeoutMs: 100 });
    await expect(master?.barrier('saving iteration 50')).rejects.toMatchObject({
      code: 'CPT_WAIT_TIMEOUT',
      message: 'rank 0, saving iteration 50: waited 0.1 s for rank 1 to send saving iteration 50',
    });
  });

  it('that does something else is found out before its numbers are used', async () => {
    const groups = await start(2);
    const values = Float32Array.of(1, 1);
    const other = groups[1]?.barrier('a save').catch(message);
    await expect(groups[0]?.sum(values, 'gradients')).rejects.toThrow(
      'rank 1 sent barrier of 0 bytes as operation 1; sumFloat32 of 8 bytes as operation 1 is due',
    );
    expect(await other).toContain('rank 0 ended the job');
    expect([...values]).toEqual([1, 1]);
  });
});

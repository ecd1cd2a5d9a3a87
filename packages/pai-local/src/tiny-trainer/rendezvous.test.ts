import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { findFreePort } from '../host.ts';
import { joinReplicaGroup, type ReplicaGroup } from './all-reduce.ts';
import { FrameSocket, KIND, textPayload } from './frame-socket.ts';
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

const message = (error: Error): string => error.message;

describe('the meeting of replicas', () => {
  it('waits for a master that starts later', async () => {
    const [master, worker] = (await rendezvous(2)) as [Rendezvous, Rendezvous];
    const joining = joinReplicaGroup(worker);
    await new Promise((resolve) => setTimeout(resolve, 120));
    open.push(...(await Promise.all([joinReplicaGroup(master), joining])));
    expect(open.map((group) => group.rank)).toEqual([0, 1]);
  });

  it('names the ranks that did not come', async () => {
    const [master, first] = (await rendezvous(4, { timeoutMs: 200 })) as [Rendezvous, Rendezvous];
    const joined = joinReplicaGroup({ ...first, timeoutMs: 5000 }).catch(message);
    await expect(joinReplicaGroup(master)).rejects.toThrow('rank 2, 3 of WORLD_SIZE 4 did not come');
    expect(await joined).toContain('rank 2, 3 of WORLD_SIZE 4 did not come');
  });

  it('says where it looked for a master that is not there', async () => {
    const [, worker] = (await rendezvous(2, { timeoutMs: 100 })) as [Rendezvous, Rendezvous];
    await expect(joinReplicaGroup(worker)).rejects.toThrow(`could not reach rank 0 at 127.0.0.1:${worker.masterPort}`);
  });

  it.each([
    ['other options', { fingerprint: 'other' }, 'rank 1 was started with other options'],
    ['another world', { worldSize: 3 }, 'rank 1 has WORLD_SIZE 3, rank 0 has 2'],
  ])('refuses a replica of %s on both sides', async (_, changes, expected) => {
    const [master, worker] = (await rendezvous(2)) as [Rendezvous, Rendezvous];
    const refused = joinReplicaGroup({ ...worker, ...changes }).catch(message);
    await expect(joinReplicaGroup(master)).rejects.toThrow(expected);
    expect(await refused).toContain(expected);
  });

  it('refuses two replicas of one rank', async () => {
    const [master, worker] = (await rendezvous(3)) as [Rendezvous, Rendezvous];
    const twins = [worker, worker].map((twin) => joinReplicaGroup(twin).catch(message));
    await expect(joinReplicaGroup(master)).rejects.toThrow('rank 1 is here twice');
    for (const twin of await Promise.all(twins)) expect(twin).toContain('rank 1 is here twice');
  });

  it('is not disturbed by connections that are not replicas', async () => {
    const [master, worker] = (await rendezvous(2)) as [Rendezvous, Rendezvous];
    const leading = joinReplicaGroup(master);
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '', 'CPTA\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff']) {
      const stranger = connect(master.masterPort, master.masterAddress);
      await once(stranger, 'connect');
      stranger.on('error', () => undefined);
      stranger.end(Buffer.from(bytes, 'latin1'));
      await once(stranger, 'close');
    }
    const liar = new FrameSocket(connect(master.masterPort, master.masterAddress), 'rank 0', 5000);
    await liar.send(KIND.hello, 0, textPayload('{"rank":0,"worldSize":2,"fingerprint":"same"}'));
    await expect(liar.receive('anything')).rejects.toThrow('rank 0 closed its connection');
    open.push(...(await Promise.all([leading, joinReplicaGroup(worker)])));
    await Promise.all(open.map((group) => group.barrier('a save')));
  });

  it('says which port it cannot listen at', async () => {
    const [master] = (await rendezvous(2)) as [Rendezvous];
    const server = createServer().listen(master.masterPort, '127.0.0.1');
    await once(server, 'listening');
    await expect(joinReplicaGroup(master)).rejects.toThrow(`cannot listen at MASTER_PORT ${master.masterPort}`);
    server.close();
  });
});

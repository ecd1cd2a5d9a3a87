import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidInputError, WaitTimeoutError } from '@pai-cpt/core';
import { FrameSocket, KIND, lost, textPayload } from './frame-socket.ts';

/** How a replica finds the others. */
export interface Rendezvous {
  readonly rank: number;
  readonly worldSize: number;
  readonly masterAddress: string;
  readonly masterPort: number;
  /** Equal in all replicas of one job: two runs with different options must not average their gradients. */
  readonly fingerprint: string;
  /** For the meeting and for every operation after it. */
  readonly timeoutMs: number;
}

const CONNECT_RETRY_MS = 50;

/**
 * Listens at the master's port until every other rank has greeted; gives the connections back, rank 1 first.
 * @throws WaitTimeoutError `CPT_WAIT_TIMEOUT` naming the ranks that did not come.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when two pods claim one rank, or their options differ.
 */
export async function gatherReplicas(rendezvous: Rendezvous): Promise<FrameSocket[]> {
  const { worldSize, timeoutMs } = rendezvous;
  const members = new Map<number, FrameSocket>();
  const strangers = new Set<Socket>();
  const server = createServer();
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(absent(members, rendezvous)), timeoutMs);
      listen(server, rendezvous, reject, async (socket) => {
        strangers.add(socket);
        const member = new FrameSocket(socket, `the connection from port ${socket.remotePort}`, timeoutMs);
        const hello = await receiveHello(member);
        // Whoever does not speak our frames is not of the job: a port scanner must not end it.
        if (!hello) return socket.destroy();
        strangers.delete(socket);
        member.peer = `rank ${hello.rank}`;
        const why = members.has(hello.rank)
          ? 'is here twice; RANK must differ in every pod'
          : mismatch(hello, rendezvous);
        if (why) return reject(await refuse(member, why));
        members.set(hello.rank, member);
        if (members.size === worldSize - 1) resolve();
      });
    });
  } catch (error) {
    await Promise.allSettled([...members.values()].map((member) => refuse(member, (error as Error).message)));
    throw error;
  } finally {
    clearTimeout(timer);
    server.close();
    for (const socket of strangers) socket.destroy();
  }
  return [...members].sort(([a], [b]) => a - b).map(([, member]) => member);
}

/**
 * Connects to rank 0 and greets it. The pods of a job start in any order, so a refused connection is tried again.
 * @throws WaitTimeoutError `CPT_WAIT_TIMEOUT` when nobody listens in time.
 */
export async function reachMaster(rendezvous: Rendezvous): Promise<FrameSocket> {
  const { rank, worldSize, fingerprint, masterAddress, masterPort, timeoutMs } = rendezvous;
  for (const deadline = Date.now() + timeoutMs; ; await sleep(CONNECT_RETRY_MS)) {
    const socket = connect(masterPort, masterAddress);
    try {
      await once(socket, 'connect');
    } catch (error) {
      socket.destroy();
      if (Date.now() < deadline) continue;
      throw new WaitTimeoutError(
        'CPT_WAIT_TIMEOUT',
        `rank ${rank} could not reach rank 0 at ${masterAddress}:${masterPort} within ${timeoutMs / 1000} s; look at the master's log`,
        { last: (error as Error).message },
        { cause: error },
      );
    }
    const master = new FrameSocket(socket, 'rank 0', timeoutMs);
    await master.send(KIND.hello, 0, textPayload(JSON.stringify({ rank, worldSize, fingerprint })));
    return master;
  }
}

interface Hello {
  readonly rank: number;
  readonly worldSize: number;
  readonly fingerprint: string;
}

function listen(
  server: Server,
  { masterAddress, masterPort }: Rendezvous,
  fail: (error: unknown) => void,
  welcome: (socket: Socket) => Promise<unknown>,
): void {
  server.on('error', (error) =>
    fail(lost(`rank 0 cannot listen at MASTER_PORT ${masterPort}: ${error.message}`, error)),
  );
  server.on('connection', (socket) => welcome(socket).catch(fail));
  server.listen(masterPort, masterAddress);
}

async function receiveHello(member: FrameSocket): Promise<Hello | undefined> {
  try {
    const frame = await member.receive('its greeting');
    if (frame.kind !== KIND.hello) return undefined;
    const { rank, worldSize, fingerprint } = JSON.parse(new TextDecoder().decode(frame.payload)) as Hello;
    const isReplica = Number.isSafeInteger(rank) && rank > 0 && Number.isSafeInteger(worldSize);
    return isReplica && typeof fingerprint === 'string' ? { rank, worldSize, fingerprint } : undefined;
  } catch {
    return undefined;
  }
}

function mismatch(hello: Hello, { worldSize, fingerprint }: Rendezvous): string | undefined {
  if (hello.worldSize !== worldSize) return `has WORLD_SIZE ${hello.worldSize}, rank 0 has ${worldSize}`;
  if (hello.fingerprint === fingerprint) return undefined;
  return 'was started with other options or another dataset than rank 0; start all pods with one command';
}

/** Tells a replica why the job cannot start; gives the error for our own side. */
async function refuse(member: FrameSocket, why: string): Promise<InvalidInputError> {
  const message = why.startsWith('rank') ? why : `${member.peer} ${why}`;
  await member.send(KIND.fail, 0, textPayload(message)).catch(() => undefined);
  member.end();
  return new InvalidInputError('CPT_INPUT_INVALID', message, { field: 'RANK' });
}

function absent(members: ReadonlyMap<number, FrameSocket>, { worldSize, timeoutMs }: Rendezvous): WaitTimeoutError {
  const missing = Array.from({ length: worldSize - 1 }, (_, i) => i + 1).filter((rank) => !members.has(rank));
  const message = `rank 0 waited ${timeoutMs / 1000} s; rank ${missing.join(', ')} of WORLD_SIZE ${worldSize} did not come`;
  return new WaitTimeoutError('CPT_WAIT_TIMEOUT', message, { last: members.size });
}

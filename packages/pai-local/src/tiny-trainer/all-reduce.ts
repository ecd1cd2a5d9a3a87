import { CptError, WaitTimeoutError } from '@pai-cpt/core';
import { describeKind, type Frame, type FrameSocket, KIND, lost, textPayload } from './frame-socket.ts';
import { gatherReplicas, type Rendezvous, reachMaster } from './rendezvous.ts';

/** Values that replicas add up. */
export type Summable = Float32Array | Float64Array;

/** The data-parallel replicas of one job. All of them call the same operations in the same order. */
export interface ReplicaGroup {
  readonly rank: number;
  readonly worldSize: number;
  /**
   * Replaces `values` by their sum over the replicas: the same bits everywhere, because rank 0 alone adds them, in the
   * order of ranks and not of arrival, and sends the result to all. `what` names the values in an error.
   * @throws CptError `CPT_TRAIN_PEER_LOST` when a replica is gone. @throws WaitTimeoutError `CPT_WAIT_TIMEOUT`.
   */
  sum(values: Summable, what: string): Promise<void>;
  /** Returns when all replicas have come this far; fails as `sum` does. */
  barrier(what: string): Promise<void>;
  /** Leaves the group. With an error, the other replicas fail at their next operation; without, all must be done. */
  leave(error?: Error): Promise<void>;
}

/**
 * Meets the other replicas: rank 0 listens at the master's port, all others connect to it (a star). Returns when all are
 * there; they may come in any order.
 * @throws WaitTimeoutError `CPT_WAIT_TIMEOUT`, InvalidInputError `CPT_INPUT_INVALID` as the rendezvous does.
 */
export async function joinReplicaGroup(rendezvous: Rendezvous): Promise<ReplicaGroup> {
  if (rendezvous.worldSize === 1) return alone;
  return rendezvous.rank === 0 ? lead(rendezvous) : follow(rendezvous);
}

const alone: ReplicaGroup = { rank: 0, worldSize: 1, async sum() {}, async barrier() {}, async leave() {} };
const NOTHING = new Uint8Array(0);

async function lead(rendezvous: Rendezvous): Promise<ReplicaGroup> {
  const { worldSize } = rendezvous;
  const members = await gatherReplicas(rendezvous);
  let operation = 0;

  /** The first failure of any member ends the wait for all, and all others are told. */
  const withAll = <T>(what: string, act: (member: FrameSocket) => Promise<T>): Promise<T[]> =>
    Promise.all(members.map(act)).catch(async (error: Error) => {
      const explained = explain(error, 0, what);
      await leave(explained);
      throw explained;
    });
  const collect = (kind: number, byteLength: number, what: string): Promise<Frame[]> => {
    operation++;
    return withAll(what, async (member) =>
      checkFrame(await member.receive(what), kind, operation, byteLength, member.peer),
    );
  };
  const answer = (kind: number, payload: Uint8Array, what: string): Promise<unknown> =>
    withAll(what, (member) => member.send(kind, operation, payload));
  async function leave(error?: Error): Promise<void> {
    if (error) {
      await Promise.allSettled(members.map((member) => member.send(KIND.fail, operation, textPayload(error.message))));
    }
    for (const member of members) member.end();
  }

  await answer(KIND.ready, NOTHING, 'starting the job');
  return {
    rank: 0,
    worldSize,
    async sum(values, what) {
      const kind = sumKind(values);
      for (const { payload } of await collect(kind, values.byteLength, what)) {
        const other = viewLike(values, payload);
        for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + (other[i] as number);
      }
      await answer(kind, bytesOf(values), what);
    },
    async barrier(what) {
      await collect(KIND.barrier, 0, what);
      await answer(KIND.barrier, NOTHING, what);
    },
    leave,
  };
}

async function follow(rendezvous: Rendezvous): Promise<ReplicaGroup> {
  const { rank, worldSize } = rendezvous;
  const master = await reachMaster(rendezvous);
  let operation = 0;

  /** The answer of rank 0. A failed write is not looked at: what rank 0 said before it left says more. */
  const receive = async (kind: number, byteLength: number, what: string): Promise<Frame> => {
    try {
      const frame = await master.receive(what);
      if (frame.kind === KIND.fail) throw lost(`rank 0 ended the job: ${new TextDecoder().decode(frame.payload)}`);
      return checkFrame(frame, kind, operation, byteLength, master.peer);
    } catch (error) {
      master.destroy();
      throw explain(error as Error, rank, what);
    }
  };
  const exchange = async (kind: number, payload: Uint8Array, what: string): Promise<Frame> => {
    operation++;
    await master.send(kind, operation, payload).catch(() => undefined);
    return receive(kind, payload.byteLength, what);
  };

  await receive(KIND.ready, 0, 'starting the job');
  return {
    rank,
    worldSize,
    async sum(values, what) {
      const { payload } = await exchange(sumKind(values), bytesOf(values), what);
      values.set(viewLike(values, payload));
    },
    async barrier(what) {
      await exchange(KIND.barrier, NOTHING, what);
    },
    async leave(error) {
      if (error) master.destroy();
      else master.end();
    },
  };
}

/** Replicas that took different paths would add unlike things; the frame itself tells. */
function checkFrame(frame: Frame, kind: number, operation: number, byteLength: number, peer: string): Frame {
  const { payload } = frame;
  if (frame.kind === kind && frame.operation === operation && payload.byteLength === byteLength) return frame;
  const got = `${describeKind(frame.kind)} of ${payload.byteLength} bytes as operation ${frame.operation}`;
  throw lost(`${peer} sent ${got}; ${describeKind(kind)} of ${byteLength} bytes as operation ${operation} is due`);
}

/** The same error, saying who met it and doing what. */
function explain(error: Error, rank: number, what: string): CptError {
  const message = `rank ${rank}, ${what}: ${error.message}`;
  if (!CptError.isInstance(error)) return lost(message, error);
  const ErrorClass = error.code === 'CPT_WAIT_TIMEOUT' ? WaitTimeoutError : CptError;
  return new ErrorClass(error.code, message, error.details, { cause: error });
}

function sumKind(values: Summable): number {
  return values instanceof Float32Array ? KIND.sumFloat32 : KIND.sumFloat64;
}

function bytesOf(values: Summable): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function viewLike(values: Summable, payload: Uint8Array<ArrayBuffer>): Summable {
  return values instanceof Float32Array ? new Float32Array(payload.buffer) : new Float64Array(payload.buffer);
}

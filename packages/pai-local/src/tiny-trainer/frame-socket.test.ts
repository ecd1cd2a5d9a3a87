import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FrameSocket, KIND, textPayload } from './frame-socket.ts';

let server: Server;
/** One end as bytes, the other as frames. */
let raw: Socket;
let accepted: Socket;
let frames: FrameSocket;
beforeEach(async () => {
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  raw = connect((server.address() as { port: number }).port, '127.0.0.1');
  raw.on('error', () => undefined);
  const [socket] = (await once(server, 'connection')) as [Socket];
  accepted = socket;
  frames = new FrameSocket(socket, 'rank 1', 2000);
});
afterEach(() => {
  raw.destroy();
  frames.destroy();
  server.close();
});

/** A frame by hand: 'CPTA', kind, operation, length, each 32 bits little-endian, and the payload. */
function frameBytes(kind: number, operation: number, payload: string, length = payload.length, magic = 'CPTA'): Buffer {
  const header = Buffer.alloc(16);
  header.write(magic, 'latin1');
  header.writeUInt32LE(kind, 4);
  header.writeUInt32LE(operation, 8);
  header.writeUInt32LE(length, 12);
  return Buffer.concat([header, Buffer.from(payload, 'latin1')]);
}

const receive = () => frames.receive('a frame');

describe('FrameSocket', () => {
  it('writes the bytes of its drawing', async () => {
    await frames.send(KIND.barrier, 258, textPayload('ab'));
    const [bytes] = (await once(raw, 'data')) as [Buffer];
    expect(bytes.toString('hex')).toBe(frameBytes(5, 258, 'ab').toString('hex'));
  });

  it('reads frames however they are cut into packets', async () => {
    const bytes = Buffer.concat([frameBytes(3, 1, 'abc'), frameBytes(5, 2, ''), frameBytes(6, 3, 'why')]);
    for (let step = 1; step <= bytes.length; step += 7) {
      const received = [receive()];
      for (let at = 0; at < bytes.length; at += step) {
        raw.write(bytes.subarray(at, at + step));
        await sleep(1);
      }
      received.push(receive(), receive());
      const texts = (await Promise.all(received)).map(({ kind, operation, payload }) => [
        kind,
        operation,
        Buffer.from(payload).toString(),
      ]);
      expect(texts).toEqual([
        [3, 1, 'abc'],
        [5, 2, ''],
        [6, 3, 'why'],
      ]);
    }
  });

  it.each([
    ['another magic', frameBytes(3, 1, '', 0, 'HTTP')],
    ['a length above 1 GiB, before it is allocated', frameBytes(3, 1, '', 2 ** 30 + 1)],
  ])('refuses %s and closes', async (_, bytes) => {
    raw.write(bytes);
    await expect(receive()).rejects.toMatchObject({
      code: 'CPT_TRAIN_PEER_LOST',
      message: 'rank 1 sent bytes that are not a frame; something else uses MASTER_PORT',
    });
    raw.resume();
    await once(raw, 'close');
  });

  it('gives out what came before the connection ended, and then the reason', async () => {
    raw.end(frameBytes(6, 9, 'disk full'));
    await once(raw.resume(), 'close');
    expect((await receive()).kind).toBe(KIND.fail);
    await expect(receive()).rejects.toThrow('rank 1 closed its connection');
    await expect(frames.send(KIND.barrier, 1, textPayload(''))).rejects.toThrow('rank 1 closed its connection');
  });

  it('does not take a cut frame for a frame', async () => {
    raw.end(frameBytes(3, 1, 'abcd').subarray(0, 18));
    await expect(receive()).rejects.toThrow('rank 1 closed its connection');
  });

  it('gives up when nothing comes in time, and stays so', async () => {
    const impatient = new FrameSocket(accepted, 'rank 1', 30);
    const expected = { code: 'CPT_WAIT_TIMEOUT', message: 'waited 0.03 s for rank 1 to send the gradients' };
    await expect(impatient.receive('the gradients')).rejects.toMatchObject(expected);
    await expect(impatient.receive('the losses')).rejects.toMatchObject(expected);
  });

  it('gives up when the other end does not read', async () => {
    const impatient = new FrameSocket(accepted, 'rank 1', 30);
    const large = new Uint8Array(2 ** 26);
    await expect(impatient.send(KIND.sumFloat32, 1, large)).rejects.toMatchObject({
      code: 'CPT_WAIT_TIMEOUT',
      message: 'waited 0.03 s for rank 1 to take 67108864 bytes',
    });
  });
});

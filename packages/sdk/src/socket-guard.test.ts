import { channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { guardSocket } from './socket-guard.ts';

/** What Node announces when a request is made; a socket that never connects cannot be had from a real network. */
function announceRequest() {
  const request = Object.assign(new EventEmitter(), {
    destroyedWith: undefined as Error | undefined | null,
    destroy(error?: Error) {
      request.destroyedWith ??= error ?? null;
      request.emit('close');
    },
  });
  channel('http.client.request.start').publish({ request });
  return request;
}

const connectingSocket = () => Object.assign(new EventEmitter(), { connecting: true });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it('ends a request whose socket does not connect in time', async () => {
  await guardSocket(
    async () => {
      const request = announceRequest();
      request.emit('socket', connectingSocket());
      await pause(30);
      expect(request.destroyedWith).toMatchObject({ name: 'RequestTimeoutError', code: 'ETIMEDOUT' });
    },
    { connectTimeoutMs: 10 },
  );
});

it('leaves a request alone that is connected, however long the answer takes', async () => {
  await guardSocket(
    async () => {
      const request = announceRequest();
      const socket = connectingSocket();
      request.emit('socket', socket);
      socket.emit('connect');
      const reused = announceRequest();
      reused.emit('socket', Object.assign(new EventEmitter(), { connecting: false }));
      await pause(30);
      expect([request.destroyedWith, reused.destroyedWith]).toEqual([undefined, undefined]);
    },
    { connectTimeoutMs: 10 },
  );
});

it('ends a request on abort, and only those made inside', async () => {
  const controller = new AbortController();
  const outside = announceRequest();
  await guardSocket(
    async () => {
      const request = announceRequest();
      controller.abort();
      expect(request.destroyedWith).toBeNull();
    },
    { connectTimeoutMs: 10, signal: controller.signal },
  );
  expect(outside.destroyedWith).toBeUndefined();
});

it('ends a request that is made after the abort', async () => {
  await guardSocket(async () => expect(announceRequest().destroyedWith).toBeNull(), {
    ...{ connectTimeoutMs: 10, signal: AbortSignal.abort() },
  });
});

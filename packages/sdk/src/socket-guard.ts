import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { ClientRequest } from 'node:http';

/**
 * Gives a call through @alicloud/openapi-core a deadline for its connection and an end on abort. The client offers neither:
 * what it calls connectTimeout is the idle time of the socket, so 5 s there cuts off every answer that takes longer, and an
 * aborted call would keep its socket, and with it the process, alive until the answer or the read timeout.
 *
 * Node announces every outgoing request on a diagnostics channel; the one made inside `run` is found by its async context.
 */
export function guardSocket<T>(
  run: () => Promise<T>,
  { connectTimeoutMs, signal }: { connectTimeoutMs: number; signal?: AbortSignal | undefined },
): Promise<T> {
  listenOnce();
  return guarded.run((request) => watch(request, connectTimeoutMs, signal), run);
}

const guarded = new AsyncLocalStorage<(request: ClientRequest) => void>();
let isListening = false;

function listenOnce(): void {
  if (isListening) return;
  isListening = true;
  subscribe('http.client.request.start', (message) => {
    guarded.getStore()?.((message as { request: ClientRequest }).request);
  });
}

function watch(request: ClientRequest, connectTimeoutMs: number, signal?: AbortSignal): void {
  const abort = (): void => void request.destroy();
  // An abort may come while the credential is fetched, before there is a request.
  if (signal?.aborted) abort();
  else signal?.addEventListener('abort', abort, { once: true });
  request.once('close', () => signal?.removeEventListener('abort', abort));

  request.once('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => {
      const error = new Error(`no connection within ${connectTimeoutMs} ms`);
      request.destroy(Object.assign(error, { name: 'RequestTimeoutError', code: 'ETIMEDOUT' }));
    }, connectTimeoutMs);
    for (const event of ['connect', 'close'] as const) socket.once(event, () => clearTimeout(timer));
  });
}

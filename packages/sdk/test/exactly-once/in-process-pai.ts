import { stringify } from 'node:querystring';
import type { BuiltPaiLocal, WireAnswer } from '@pai-cpt/pai-local';
import type { AcsTransport } from '../../src/pai-transport.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** What happens to a call on its way: `kill` may end the caller at any of these points. */
export interface Passage {
  before(action: string): void;
  /** The request is on its way and cannot be called back. */
  sent(action: string): void;
  after(action: string): void;
}

/**
 * A client of pai-local without sockets. It fails as @alicloud/openapi-core does, by the table of behaviour in pai-api.md §4:
 * an HTML page or an empty body is a SyntaxError, a hanging server a RequestTimeoutError after the read timeout, and so on.
 */
export function inProcessClient(
  pai: BuiltPaiLocal,
  clock: VirtualClock,
  random: () => number,
  passage: Passage,
): AcsTransport {
  return {
    async callApi({ action, version, method, pathname }, { query, body }, { readTimeout }) {
      passage.before(action);
      await clock.sleep(5 + random() * 200);
      passage.before(action);
      const url = Object.keys(query).length > 0 ? `${pathname}?${stringify(query)}` : pathname;
      const bytes = new TextEncoder().encode(body === undefined ? '' : JSON.stringify(body));
      const answering = clock.busy(pai.answer({ method, url, action, version, body: bytes }));
      passage.sent(action);
      const answer = await answering;
      await clock.sleep(5 + random() * 200);
      passage.after(action);
      return receive(answer, readTimeout, clock);
    },
  };
}

async function receive(answer: WireAnswer, readTimeout: number, clock: VirtualClock) {
  if (answer.delivery === 'drop' || answer.delivery === 'cut')
    throw failure('Error', 'socket hang up', { code: 'ECONNRESET' });
  if (answer.delivery === 'hang') {
    await clock.sleep(Math.min(answer.ms, readTimeout));
    if (answer.ms < readTimeout) throw failure('Error', 'socket hang up', { code: 'ECONNRESET' });
    throw failure('RequestTimeoutError', `ConnectTimeout: Connect failed.`, { code: 'RequestTimeoutError' });
  }
  if (answer.delivery === 'slow') await clock.sleep(8 * answer.ms);
  const data = JSON.parse(answer.text) as Record<string, unknown>; // a SyntaxError leaves the client as it is
  if (answer.status < 400) return { statusCode: answer.status, headers: answer.headers, body: data };
  const code = String(data.Code);
  const name = code.includes('Throttling') ? 'ThrottlingError' : answer.status >= 500 ? 'ServerError' : 'ClientError';
  const retryAfter = answer.headers['x-acs-retry-after'];
  throw failure(name, `${code}: ${data.Message}`, {
    ...{ code, statusCode: answer.status, requestId: data.RequestId, data },
    ...(retryAfter !== undefined && { retryAfter: Number(retryAfter) }),
  });
}

function failure(name: string, message: string, facts: Record<string, unknown>): Error {
  return Object.assign(new Error(message), { name, ...facts });
}

import { listPages } from './list-pages.ts';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import type { Service } from './schemas.ts';
import { toService } from './service-view.ts';
import type { WireServiceEvent, WireServiceInstance } from './service-wire.ts';

/** A span of time; what is left out is PAI's own choice. */
export interface TimeRange {
  from?: Date | undefined;
  to?: Date | undefined;
  signal?: AbortSignal | undefined;
}

/** Which lines of the logs to read. */
export interface ServiceLogOptions extends TimeRange {
  /** Lines that hold this text. */
  keyword?: string | undefined;
  /** Of one instance. */
  instance?: string | undefined;
}

/** What happened to a service. */
export interface ServiceEvent {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly resource?: string;
  readonly at?: string;
}

/** A container of a service. */
export interface ServiceInstance {
  readonly name: string;
  readonly status: string;
  readonly reason?: string;
  readonly restarts: number;
  readonly instanceType?: string;
  readonly hostIp?: string;
  readonly startedAt?: string;
}

interface ServicePath {
  ClusterId: string;
  ServiceName: string;
}

const PAGE_SIZE = 100;
const LOG_PAGE_SIZE = 500;

/** Every service of the region, and of the workspace when there is one. */
export async function* listServices(
  pai: PaiTransport,
  workspaceId: string | undefined,
  { filter, signal }: { filter?: string; signal?: AbortSignal | undefined },
): AsyncGenerator<Service, void, undefined> {
  const query = omitUndefined({ Filter: filter, WorkspaceId: workspaceId });
  const pages = listPages(
    async (page) => {
      const { Services, TotalCount } = await pai.call('ListServices', { query: { ...query, ...page } }, { signal });
      return { items: Services, total: TotalCount };
    },
    ({ ServiceName }) => ServiceName,
    PAGE_SIZE,
  );
  for await (const service of pages) yield toService(service);
}

/** The lines of a service, oldest first: what is written meanwhile comes at the end, and moves nothing. */
export async function* readLogs(
  pai: PaiTransport,
  path: ServicePath,
  { keyword, instance, signal, ...range }: ServiceLogOptions,
): AsyncGenerator<string, void, undefined> {
  const filter = omitUndefined({ ...timesOf(range), Keyword: keyword, InstanceName: instance });
  for (let page = 1; ; page++) {
    const query = { ...filter, PageNum: page, PageSize: LOG_PAGE_SIZE };
    const { Logs: lines = [], TotalPageNum } = await pai.call('DescribeServiceLog', { path, query }, { signal });
    yield* lines;
    if (lines.length === 0 || page >= TotalPageNum) return;
  }
}

/** The events of a service. */
export async function* listEvents(
  pai: PaiTransport,
  path: ServicePath,
  { type, signal, ...range }: TimeRange & { type?: 'Normal' | 'Warning' },
): AsyncGenerator<ServiceEvent, void, undefined> {
  const filter = omitUndefined({ ...timesOf(range), EventType: type });
  let before: readonly WireServiceEvent[] = [];
  let totalBefore: number | undefined;
  for (let page = 1; ; page++) {
    const query = { ...filter, PageNum: page, PageSize: PAGE_SIZE };
    const answer = await pai.call('DescribeServiceEvent', { path, query }, { signal });
    const { Events: events = [], TotalPageNum, TotalCount } = answer;
    yield* withoutRepeated(events, before, TotalCount - (totalBefore ?? TotalCount)).map(toEvent);
    if (events.length === 0 || page >= TotalPageNum) return;
    before = events;
    totalBefore = TotalCount;
  }
}

/**
 * The events of a page without those that ended the page before: `added` newer ones have pushed them on. Events have no id, so
 * the two must be equal; a list that is oldest first grows at its end, where nothing is pushed.
 */
function withoutRepeated(
  events: readonly WireServiceEvent[],
  before: readonly WireServiceEvent[],
  added: number,
): readonly WireServiceEvent[] {
  if (!(added > 0)) return events;
  const isRepeated = JSON.stringify(before.slice(-added)) === JSON.stringify(events.slice(0, added));
  return isRepeated ? events.slice(added) : events;
}

/** The instances of a service. */
export async function* listInstances(
  pai: PaiTransport,
  path: ServicePath,
  { signal }: { signal?: AbortSignal | undefined },
): AsyncGenerator<ServiceInstance, void, undefined> {
  const pages = listPages(
    async (query) => {
      const { Instances, TotalCount } = await pai.call('ListServiceInstances', { path, query }, { signal });
      return { items: Instances, total: TotalCount };
    },
    ({ InstanceName }) => InstanceName,
    PAGE_SIZE,
  );
  for await (const instance of pages) yield toInstance(instance);
}

/** EAS takes UTC without a T and without a zone; fractions of a second are dropped. */
function timesOf({ from, to }: TimeRange) {
  const text = (time: Date | undefined) => time?.toISOString().slice(0, 19).replace('T', ' ');
  return { StartTime: text(from), EndTime: text(to) };
}

function toEvent({ Type = 'Normal', Reason = '', Message = '', Resource, Time }: WireServiceEvent): ServiceEvent {
  const message = readMessage(Message);
  return omitUndefined({ type: Type, reason: Reason, message, resource: Resource || undefined, at: Time || undefined });
}

/** EAS puts the words of an event into JSON text. */
function readMessage(text: string): string {
  try {
    const { message, Message = message } = JSON.parse(text) as { message?: unknown; Message?: unknown };
    return typeof Message === 'string' ? Message : text;
  } catch {
    return text;
  }
}

function toInstance(wire: WireServiceInstance): ServiceInstance {
  return omitUndefined({
    name: wire.InstanceName,
    status: wire.Status ?? 'Unknown',
    reason: wire.Reason || undefined,
    restarts: wire.RestartCount ?? 0,
    instanceType: wire.InstanceType || undefined,
    hostIp: wire.HostIP || undefined,
    startedAt: wire.StartTime || undefined,
  });
}

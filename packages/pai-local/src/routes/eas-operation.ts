import type { Host } from '../host.ts';
import type { ApiRequest, Operation } from '../operations.ts';
import type { ServiceRunner } from '../service-runner.ts';
import type { ServiceRecord, Store } from '../state.ts';

export const VERSION = '2021-07-01';
export const SERVICES = '/api/v2/services';
const SERVICE = `${SERVICES}/{ClusterId}/{ServiceName}`;

/** The server as its own answers name it. */
export interface Here {
  /** Known once it listens. */
  url: string;
  readonly region: string;
}

/** What the operations of EAS work with. */
export interface Eas {
  readonly host: Host;
  readonly here: Here;
  readonly services: Store<ServiceRecord>;
  readonly runner: ServiceRunner;
  /** The service of a path. What EAS calls a cluster is the region. @throws ApiError `InvalidService.NotFound` */
  findService(request: ApiRequest): ServiceRecord;
}

/** An operation of EAS on one service. */
export const onService = (
  action: string,
  method: string,
  suffix: string,
  query: readonly string[],
  handle: Operation['handle'],
): Operation => ({ action, version: VERSION, method, path: `${SERVICE}${suffix}`, query, handle });

/** What EAS answers to an operation that it has begun. */
export const doneWith = (here: Here, service: ServiceRecord, what: string) => ({
  Message: `Service [${service.name}] in region [${here.region}] is ${what}`,
});

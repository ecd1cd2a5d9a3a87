import { invalidParameter, missingParameter } from './api-error.ts';
import { type Mount, parseServiceStorage } from './mounts.ts';
import { isRecord } from './parameters.ts';

/** The part of a service JSON that decides how the service runs. */
export interface ServiceRequest {
  readonly name: string;
  readonly image: string;
  readonly script: string;
  /** The port that the script is told to listen on. */
  readonly port: number;
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  readonly instances: number;
  readonly group?: string;
}

const DEFAULT_PORT = 8000;
/** Each is a process on this machine. */
export const MAX_INSTANCES = 16;

export const isInstanceCount = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_INSTANCES;

/** Checks a service JSON and reads it. @throws ApiError `MissingParameter` or `InvalidParameter` */
export function parseServiceRequest(config: Readonly<Record<string, unknown>>): ServiceRequest {
  const metadata = isRecord(config.metadata) ? config.metadata : {};
  const { name, instance: instances = 1, group } = metadata;
  if (name === undefined) throw missingParameter('metadata.name');
  if (typeof name !== 'string' || !/^[a-z0-9_]{3,63}$/.test(name)) {
    throw invalidParameter(`metadata.name is ${JSON.stringify(name)}; it has 3 to 63 of a-z, 0-9 and _.`);
  }
  if (!isInstanceCount(instances)) {
    throw invalidParameter(`metadata.instance is ${JSON.stringify(instances)}; pai-local runs 0 to ${MAX_INSTANCES}.`);
  }
  if (group !== undefined && (typeof group !== 'string' || !/^[a-z0-9_]{3,63}$/.test(group) || group === name)) {
    throw invalidParameter(
      `metadata.group is ${JSON.stringify(group)}; it has 3 to 63 of a-z, 0-9 and _, and is not the name.`,
    );
  }
  const containers: unknown[] = Array.isArray(config.containers) ? config.containers : [];
  const container = containers[0];
  if (!isRecord(container)) throw missingParameter('containers');
  if (containers.length > 1) {
    throw invalidParameter(`containers has ${containers.length} entries; pai-local runs services of one container.`);
  }
  for (const field of ['image', 'script']) {
    if (typeof container[field] !== 'string' || container[field] === '')
      throw missingParameter(`containers[0].${field}`);
  }
  const port = container.port ?? DEFAULT_PORT;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw invalidParameter(`containers[0].port is ${JSON.stringify(port)}, not a port.`);
  }
  return {
    name,
    image: container.image as string,
    script: container.script as string,
    port,
    env: readEnv(container.env),
    mounts: parseServiceStorage(config.storage),
    instances,
    ...(group !== undefined && { group }),
  };
}

function readEnv(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!Array.isArray(value)) throw invalidParameter('containers[0].env is not a list.');
  return Object.fromEntries(
    value.map((item: unknown, index) => {
      if (isRecord(item) && typeof item.name === 'string' && typeof item.value === 'string')
        return [item.name, item.value];
      throw invalidParameter(`containers[0].env[${index}] is not {name, value}.`);
    }),
  );
}

/**
 * The script with `--port <port>` or `--port=<port>` given another port; `undefined` when it names no such port. Every
 * container has a network of its own; here all services share the loopback, where two cannot both have port 8000.
 */
export function rewritePort(script: string, port: number, freePort: number): string | undefined {
  const pattern = new RegExp(`(?<=(?:^|\\s)--port(?:=|\\s+)['"]?)${port}(?=$|[\\s;&|'")])`, 'g');
  return pattern.test(script) ? script.replace(pattern, String(freePort)) : undefined;
}

import { ApiError, invalidParameter } from './api-error.ts';
import { isRecord, type Query } from './parameters.ts';
import { parseQuery, splitOnce } from './signature.ts';

/** A verified request to one operation. */
export interface ApiRequest {
  /** Decoded path parameters by name. */
  readonly path: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Uint8Array;
}

/** One operation of a product's API. */
export interface Operation {
  readonly action: string;
  readonly version: string;
  readonly method: string;
  /** With `{Name}` for each path parameter. */
  readonly path: string;
  /** The query parameters it reads. Others are refused: a filter that is ignored gives wrong lists. */
  readonly query: readonly string[];
  /** The members of the response body, without RequestId. */
  handle(request: ApiRequest): Record<string, unknown> | Promise<Record<string, unknown>>;
}

/**
 * The operation that `method` and `url` name, ready to be handled.
 * @throws ApiError `InvalidAction.NotFound` when there is none, or x-acs-action and x-acs-version name another.
 */
export function matchOperation(
  operations: readonly Operation[],
  request: { method: string; url: string; action: string; version: string; body: Uint8Array },
): { operation: Operation; request: ApiRequest } {
  const [rawPath, rawQuery = ''] = splitOnce(request.url, '?');
  for (const operation of operations) {
    const path = operation.method === request.method ? matchPath(operation.path, rawPath) : undefined;
    if (!path) continue;
    if (operation.action !== request.action || operation.version !== request.version) {
      throw notFound(
        `${request.method} ${rawPath} is ${operation.action} ${operation.version}, not ${request.action} ${request.version}`,
      );
    }
    return { operation, request: { path, query: readQuery(operation, rawQuery), body: request.body } };
  }
  throw notFound(`${request.method} ${rawPath} (${request.action} ${request.version}) is not emulated`);
}

const notFound = (why: string): ApiError =>
  new ApiError(404, 'InvalidAction.NotFound', `Specified api is not found: ${why}.`);

function matchPath(template: string, rawPath: string): Record<string, string> | undefined {
  const names = template.split('/');
  const parts = rawPath.split('/');
  if (names.length !== parts.length) return undefined;
  const found: Record<string, string> = {};
  for (const [index, name] of names.entries()) {
    const part = parts[index] as string;
    if (!name.startsWith('{')) {
      if (name !== part) return undefined;
    } else {
      const value = decodePart(part);
      if (!value) return undefined;
      found[name.slice(1, -1)] = value;
    }
  }
  return found;
}

function decodePart(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function readQuery(operation: Operation, rawQuery: string): Query {
  const query = new Map(parseQuery(rawQuery));
  const unknown = [...query.keys()].filter((name) => !operation.query.includes(name));
  if (unknown.length === 0) return query;
  throw invalidParameter(`${operation.action}: pai-local does not know the query parameter ${unknown.join(', ')}.`);
}

/** The JSON object in a body. @throws ApiError `InvalidParameter` */
export function parseBody(body: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw invalidParameter('The body is not JSON in UTF-8.');
  }
  if (isRecord(value)) return value;
  throw invalidParameter('The body is not a JSON object.');
}

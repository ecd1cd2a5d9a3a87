import { invalidParameter, missingParameter } from './api-error.ts';
import { isRecord } from './parameters.ts';

/** The text under `name`. @throws ApiError `MissingParameter` without one, `InvalidParameter` for another type. */
export function requireText(body: Readonly<Record<string, unknown>>, name: string, where = ''): string {
  const value = readText(body, name, where);
  if (value !== undefined && value !== '') return value;
  throw missingParameter(`${where}${name}`);
}

/** The text under `name`, or `undefined` where it is absent. @throws ApiError `InvalidParameter` */
export function readText(body: Readonly<Record<string, unknown>>, name: string, where = ''): string | undefined {
  const value = body[name];
  if (value === undefined || typeof value === 'string') return value;
  throw invalidParameter(`${where}${name} is ${JSON.stringify(value)}, not a string.`);
}

/** One of `allowed` under `name`. @throws ApiError `MissingParameter`, `InvalidParameter` */
export function requireChoice(
  body: Readonly<Record<string, unknown>>,
  name: string,
  allowed: readonly string[],
): string {
  const value = requireText(body, name);
  if (allowed.includes(value)) return value;
  throw invalidParameter(`${name} is "${value}"; it can be ${allowed.join(', ')}.`);
}

/** The objects in the list under `name`; none where it is absent. @throws ApiError `InvalidParameter` */
export function readRecords(body: Readonly<Record<string, unknown>>, name: string): Record<string, unknown>[] {
  const value = body[name] ?? [];
  if (Array.isArray(value) && value.every(isRecord)) return value;
  throw invalidParameter(`${name} is not a list of objects.`);
}

/** The labels `[{Key, Value}]` under `name`, by key. @throws ApiError `InvalidParameter` */
export function readLabels(body: Readonly<Record<string, unknown>>, name: string): Record<string, string> {
  return Object.fromEntries(
    readRecords(body, name).map((label) => [
      requireText(label, 'Key', `${name}.`),
      readText(label, 'Value', `${name}.`) ?? '',
    ]),
  );
}

/** A whole number under `name`, `fallback` where it is absent. @throws ApiError `InvalidParameter` */
export function readCount(body: Readonly<Record<string, unknown>>, name: string, fallback: number, where = ''): number {
  const value = body[name] ?? fallback;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalidParameter(`${where}${name} is ${JSON.stringify(value)}, not a whole number.`);
}

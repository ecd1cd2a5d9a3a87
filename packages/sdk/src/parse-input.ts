import { InvalidInputError } from '@pai-cpt/core';
import type { Static, TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { nearestName } from './nearest-name.ts';
import { TEXT_FORMS } from './patterns.ts';

/** One thing wrong with a value; `pointer` is a JSON pointer, empty for the value itself. */
export interface InputProblem {
  readonly pointer: string;
  readonly message: string;
}

/** Rules that no schema can say, over a value that already fits its schema. */
export type CrossCheck<T> = (value: T) => readonly InputProblem[];

/** How one error of the schema library is told. */
interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly params: Record<string, unknown>;
  readonly message: string;
}

/**
 * A copy of `value` with the schema's defaults filled in; the value itself is not changed.
 * @throws InvalidInputError `CPT_INPUT_INVALID`; the message tells the first problem and counts the rest, `details.errors`
 * lists all, and `details.field` is the first pointer.
 */
export function parseInput<S extends TSchema>(
  schema: S,
  value: unknown,
  name: string,
  crossCheck: CrossCheck<Static<S>> = () => [],
): Static<S> {
  const filled = Value.Default(schema, copyOf(value, name));
  const found = describeErrors(schema, filled, Value.Errors(schema, filled) as SchemaError[]);
  const problems = found.length > 0 ? found : crossCheck(filled as Static<S>);
  if (problems.length === 0) return filled as Static<S>;
  throw invalidInput(name, problems);
}

function invalidInput(name: string, problems: readonly InputProblem[]): InvalidInputError {
  const [first] = problems as [InputProblem];
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new InvalidInputError(
    'CPT_INPUT_INVALID',
    `${name}: ${first.pointer || 'the value'} ${first.message}${more}`,
    {
      field: first.pointer,
      errors: problems,
    },
  );
}

function copyOf(value: unknown, name: string): unknown {
  try {
    return structuredClone(value);
  } catch (error) {
    const message = 'holds something that is not data, such as a function';
    throw new InvalidInputError('CPT_INPUT_INVALID', `${name} ${message}`, { field: '' }, { cause: error });
  }
}

function describeErrors(schema: TSchema, value: unknown, errors: readonly SchemaError[]): InputProblem[] {
  return errors.flatMap((error) => describeError(schema, value, error));
}

function describeError(schema: TSchema, value: unknown, error: SchemaError): InputProblem[] {
  const { keyword, instancePath: pointer, params } = error;
  const found = Value.Pointer.Get(value as object, pointer);
  const is = `is ${show(found, pointer)}`;
  switch (keyword) {
    // Told again, and better: by additionalProperties of the object around it, by the pattern of the name.
    case 'boolean':
    case 'propertyNames':
      return [];
    case 'additionalProperties': {
      const known = Object.keys((at(schema, error.schemaPath) as { properties?: object }).properties ?? {});
      const names = params.additionalProperties as string[];
      return names.map((name) => ({
        pointer: `${pointer}/${escapePointer(name)}`,
        message: unknownField(name, known),
      }));
    }
    case 'required': {
      const names = params.requiredProperties as string[];
      return names.map((name) => ({ pointer: `${pointer}/${escapePointer(name)}`, message: 'is missing' }));
    }
    case 'enum': {
      const allowed = (params.allowedValues as unknown[]).map(String);
      const near = typeof found === 'string' ? nearestName(found, allowed) : undefined;
      const help = near ? `did you mean "${near}"?` : `it must be one of ${allowed.join(', ')}`;
      return [{ pointer, message: `${is}; ${help}` }];
    }
    case 'pattern': {
      const form = formOf(String(params.pattern));
      const isName = error.schemaPath.endsWith('/propertyNames');
      return [{ pointer, message: isName ? `is not ${form}` : `${is}; it must be ${form}` }];
    }
    default:
      return [{ pointer, message: `${is}; it ${error.message}` }];
  }
}

function unknownField(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  return `is not a known field; ${near ? `did you mean "${near}"?` : `known are ${known.join(', ')}`}`;
}

/** The value, cut to a line; of an environment only its type, for it may be a secret of the wrong type. */
function show(value: unknown, pointer: string): string {
  if (value === null || value === undefined) return String(value);
  if (pointer.startsWith('/environment/')) return `a ${typeof value}`;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

const formOf = (pattern: string): string => TEXT_FORMS.get(pattern)?.expects ?? `text of the form ${pattern}`;

/** The subschema at a path such as "#/properties/compute". */
function at(schema: TSchema, schemaPath: string): object {
  return (Value.Pointer.Get(schema, schemaPath.replace(/^#/, '')) ?? {}) as object;
}

const escapePointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');

import { InvalidInputError } from '@pai-cpt/core';
import type { InputProblem } from '@pai-cpt/sdk';
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';

const PLACES: Readonly<Record<string, string>> = { querystring: 'query', params: 'path', headers: 'header' };

/**
 * How a route checks its requests: the body by `parseBody`, so that a spec is judged by the SDK's own parser in the same
 * words here and there, unknown fields included; parameters by their schema. Fastify's validator drops unknown fields,
 * turns texts into numbers and stops at the first error.
 */
export function checkedBy(parseBody: (body: unknown) => unknown): FastifySchemaCompiler<TSchema> {
  return ({ schema, httpPart = 'body' }) => {
    const parse = httpPart === 'body' ? parseBody : (value: unknown) => parseParameters(schema, value, httpPart);
    return (value: unknown) => {
      try {
        return { value: parse(value) };
      } catch (error) {
        return { error: error as Error };
      }
    };
  };
}

/** For routes without a body. */
export const parametersOnly = checkedBy((body) => body);

/** Parameters with their texts turned into what the schema asks for. */
function parseParameters(schema: TSchema, value: unknown, httpPart: string): unknown {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> };
  const given = Object.entries((value ?? {}) as Record<string, unknown>);
  const read = Object.fromEntries(given.map(([name, text]) => [name, readText(text, properties[name]?.type)]));
  refuse(`${PLACES[httpPart] ?? httpPart} parameters`, findProblems(schema, read));
  return read;
}

/** The schema library would convert too, and take "1.5", "" and "0x10" for integers. */
function readText(text: unknown, type: string | undefined): unknown {
  if (typeof text !== 'string') return text;
  if (type === 'integer' && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

/** @throws InvalidInputError `CPT_INPUT_INVALID` when there is a problem; `details.errors` lists all. */
export function refuse(what: string, problems: readonly InputProblem[]): void {
  if (problems.length === 0) return;
  const told = problems.map(({ pointer, message }) => `${pointer || 'the value'} ${message}`).join('; ');
  throw new InvalidInputError('CPT_INPUT_INVALID', `${what}: ${told}`, { errors: problems });
}

/** Where `value` does not fit `schema`; `pointer` leads to the value from the root of the body. */
export function findProblems(schema: TSchema, value: unknown, pointer = ''): InputProblem[] {
  return Value.Errors(schema, value).flatMap((found): InputProblem[] => {
    const { keyword, instancePath, schemaPath, params, message } = found as SchemaError;
    const below = (name: string) => `${pointer}${instancePath}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    switch (keyword) {
      case 'boolean': // said again, with the name, by additionalProperties
        return [];
      case 'additionalProperties': {
        const { properties = {} } = Value.Pointer.Get(schema, schemaPath.replace(/^#/, '')) as { properties?: object };
        const known = Object.keys(properties).join(', ') || 'none';
        const names = params.additionalProperties as string[];
        return names.map((name) => ({ pointer: below(name), message: `is not known; known are: ${known}` }));
      }
      case 'required':
        return (params.requiredProperties as string[]).map((name) => ({ pointer: below(name), message: 'is missing' }));
      default:
        return [{ pointer: `${pointer}${instancePath}`, message }];
    }
  });
}

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly params: Record<string, unknown>;
  readonly message: string;
}

import type { HyperParameterDefinition } from './algorithms.ts';
import { invalidParameter, missingParameter } from './api-error.ts';
import { requireText } from './body-fields.ts';

/**
 * What the container is given: the defaults of the algorithm, replaced by what was sent. An algorithm that defines none
 * takes anything. @throws ApiError `InvalidParameter`, `MissingParameter`
 */
export function fillHyperParameters(
  definitions: readonly HyperParameterDefinition[],
  given: readonly Record<string, unknown>[],
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { Name, DefaultValue } of definitions) if (DefaultValue !== undefined) values[Name] = DefaultValue;
  for (const parameter of given) {
    const name = requireText(parameter, 'Name', 'HyperParameters.');
    const value = parameter.Value;
    if (typeof value !== 'string') {
      throw invalidParameter(`HyperParameters: the Value of ${name} is ${JSON.stringify(value)}, not a string.`);
    }
    const definition = definitions.find((candidate) => candidate.Name === name);
    if (definitions.length > 0 && !definition) throw invalidParameter(`The algorithm has no hyper-parameter ${name}.`);
    values[name] = value;
  }
  for (const definition of definitions) {
    const value = values[definition.Name];
    if (value === undefined && definition.Required) throw missingParameter(`HyperParameters: ${definition.Name}`);
    const fault = value === undefined ? undefined : faultOf(value, definition);
    if (fault) throw invalidParameter(`Hyper-parameter ${definition.Name} is "${value}"; ${fault}.`);
  }
  return values;
}

function faultOf(value: string, { Type, Range = {} }: HyperParameterDefinition): string | undefined {
  if (Type === 'Int' && !/^[+-]?\d+$/.test(value)) return 'it must be a whole number';
  if (Type === 'Float' && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value)) return 'it must be a number';
  if (Range.Enum && !Range.Enum.includes(value)) return `it can be ${Range.Enum.join(', ')}`;
  if (Type === 'String') return undefined;
  const number = Number(value);
  const least = Range.Minimum === undefined ? Number.NEGATIVE_INFINITY : Number(Range.Minimum);
  const most = Range.Maximum === undefined ? Number.POSITIVE_INFINITY : Number(Range.Maximum);
  if (number < least || (Range.ExclusiveMinimum && number === least)) return `it must not be below ${Range.Minimum}`;
  if (number > most || (Range.ExclusiveMaximum && number === most)) return `it must not be above ${Range.Maximum}`;
  return undefined;
}

import { nearestName } from '../nearest-name.ts';
import type { InputProblem } from '../parse-input.ts';
import type { WireHyperParameterDefinition } from '../studio-wire.ts';

/** A value of a hyper-parameter, and where in the specification it stands. */
export interface GivenHyperParameter {
  readonly name: string;
  readonly value: string | number | boolean;
  readonly pointer: string;
}

/**
 * What is wrong with these values by the algorithm's own definitions: PAI passes everything to the container as text, and a
 * slip of the pen shows only after the GPUs are there. A definition without a type or a range says nothing about it.
 */
export function checkHyperParameters(
  definitions: readonly WireHyperParameterDefinition[],
  given: readonly GivenHyperParameter[],
): InputProblem[] {
  const problems: InputProblem[] = [];
  const known = definitions.map(({ Name }) => Name);
  for (const { name, value, pointer } of given) {
    const definition = definitions.find(({ Name }) => Name === name);
    const message = definition ? faultOf(definition, value) : unknownName(name, known);
    if (message !== undefined) problems.push({ pointer, message });
  }
  for (const { Name, Required, DefaultValue } of definitions) {
    const isMissing = Required === true && DefaultValue === undefined && !given.some(({ name }) => name === Name);
    if (isMissing) problems.push({ pointer: `/quickstart/hyperParameters/${Name}`, message: 'is missing' });
  }
  return problems;
}

function unknownName(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  return `is no hyper-parameter of the algorithm; ${near ? `did you mean "${near}"?` : `it has ${known.join(', ')}`}`;
}

function faultOf({ Type = '', Range = {} }: WireHyperParameterDefinition, value: string | number | boolean) {
  const text = String(value);
  const is = `is ${JSON.stringify(value)}`;
  const kind = kindOf(Type);
  if (kind === 'boolean' && !/^(true|false)$/i.test(text)) return `${is}; it must be true or false`;
  if ((kind === 'whole' || kind === 'number') && !isNumber(text)) return `${is}; it must be a number`;
  if (kind === 'whole' && !Number.isInteger(Number(text))) return `${is}; it must be a whole number`;
  if (Range.Enum && Range.Enum.length > 0 && !Range.Enum.includes(text)) {
    const near = nearestName(text, Range.Enum);
    return `${is}; ${near ? `did you mean "${near}"?` : `it must be one of ${Range.Enum.join(', ')}`}`;
  }
  if (kind === 'whole' || kind === 'number') return faultOfNumber(Number(text), Range, is);
  return faultOfText(text, Range, is);
}

function kindOf(type: string): 'whole' | 'number' | 'boolean' | 'text' {
  if (/^(int|integer|long)$/i.test(type)) return 'whole';
  if (/^(float|double|number)$/i.test(type)) return 'number';
  return /^bool(ean)?$/i.test(type) ? 'boolean' : 'text';
}

const isNumber = (text: string): boolean => text.trim() !== '' && Number.isFinite(Number(text));

type Range = NonNullable<WireHyperParameterDefinition['Range']>;

function faultOfNumber(value: number, range: Range, is: string): string | undefined {
  const [least, most] = [range.Minimum, range.Maximum].map((bound) => (bound ? Number(bound) : Number.NaN));
  if (least !== undefined && (value < least || (range.ExclusiveMinimum && value === least))) {
    return `${is}; it must be ${range.ExclusiveMinimum ? '>' : '>='} ${range.Minimum}`;
  }
  if (most !== undefined && (value > most || (range.ExclusiveMaximum && value === most))) {
    return `${is}; it must be ${range.ExclusiveMaximum ? '<' : '<='} ${range.Maximum}`;
  }
  return undefined;
}

function faultOfText(text: string, { MinLength, MaxLength, Pattern }: Range, is: string): string | undefined {
  if (MinLength !== undefined && text.length < MinLength) return `${is}; it must have at least ${MinLength} characters`;
  if (MaxLength !== undefined && text.length > MaxLength) return `${is}; it must have at most ${MaxLength} characters`;
  if (Pattern !== undefined && !matches(Pattern, text)) return `${is}; it must be text of the form ${Pattern}`;
  return undefined;
}

/** PAI's expressions are Java's; one that JavaScript does not read is left to PAI. */
function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(text);
  } catch {
    return true;
  }
}

import { elementCount, type Shape } from '@pai-cpt/core';
import { type ModelShape, modelParameters, type ParameterShape } from '../model-shape.ts';

/**
 * A graph input made of parameters that lie one after the other in the trainer's flat arrays, stacked along the first axis. Its
 * own place there is `from … to - 1`, in elements.
 */
export interface StackedParameter {
  readonly name: string;
  readonly shape: Shape;
  readonly members: readonly ParameterShape[];
  readonly from: number;
  readonly to: number;
}

/** Matrices that multiply the same input, and their biases: one large product replaces several small ones. */
const STACKS = [
  { pattern: /[qkv]_proj\.weight$/, name: 'qkv_proj.weight' },
  { pattern: /[qkv]_proj\.bias$/, name: 'qkv_proj.bias' },
  { pattern: /(gate|up)_proj\.weight$/, name: 'gate_up_proj.weight' },
];

/** All parameters in the order of `modelParameters`; neighbours that belong to one stack are one. */
export function stackedParameters(shape: ModelShape): StackedParameter[] {
  const stacks = new Map<string, ParameterShape[]>();
  for (const parameter of modelParameters(shape)) {
    const stack = STACKS.find(({ pattern }) => pattern.test(parameter.name));
    const name = stack ? parameter.name.replace(stack.pattern, stack.name) : parameter.name;
    stacks.set(name, [...(stacks.get(name) ?? []), parameter]);
  }
  let from = 0;
  return Array.from(stacks, ([name, members]) => {
    const rows = members.reduce((sum, member) => sum + (member.shape[0] as number), 0);
    const stacked = [rows, ...(members[0] as ParameterShape).shape.slice(1)];
    const to = from + elementCount(stacked);
    const place = { name, shape: stacked, members, from, to };
    from = to;
    return place;
  });
}

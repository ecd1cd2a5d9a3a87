import type { Dtype, Shape } from '@pai-cpt/core';

/** What the pickle writer takes. Arrays become lists, Maps become dicts, whole numbers become `int`. */
export type WritableValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly WritableValue[]
  | ReadonlyMap<string | number, WritableValue>
  | WritableFloat
  | WritableTuple
  | WritableOrderedDict
  | WritableNamespace
  | WritableDict
  | WritableInstance
  | WritableCall
  | WritableDtype
  | TorchTensorDeclaration;

export interface WritableFloat {
  readonly kind: 'float';
  readonly value: number;
}

export interface WritableTuple {
  readonly kind: 'tuple';
  readonly items: readonly WritableValue[];
}

export interface WritableOrderedDict {
  readonly kind: 'ordered-dict';
  readonly entries: readonly (readonly [string | number, WritableValue])[];
}

export interface WritableNamespace {
  readonly kind: 'namespace';
  readonly fields: Readonly<Record<string, WritableValue>>;
}

/** A dict whose keys are not all plain. */
export interface WritableDict {
  readonly kind: 'dict';
  readonly entries: readonly (readonly [WritableValue, WritableValue])[];
}

/** An object of a class, made without its constructor and given its state. */
export interface WritableInstance {
  readonly kind: 'instance';
  readonly module: string;
  readonly name: string;
  /** Undefined for a class without fields. */
  readonly state: WritableValue | undefined;
}

/** What a class or a function of a module gives for these arguments. */
export interface WritableCall {
  readonly kind: 'call';
  readonly module: string;
  readonly name: string;
  readonly args: readonly WritableValue[];
}

/** `torch.bfloat16` and its like, as in `args.params_dtype`. */
export interface WritableDtype {
  readonly kind: 'dtype';
  readonly dtype: Dtype;
}

/**
 * A packed row-major tensor whose bytes follow later. The object is the identity: placed twice, it is one storage and its
 * bytes come once, as for tied weights.
 */
export interface TorchTensorDeclaration {
  readonly kind: 'tensor-declaration';
  readonly dtype: Dtype;
  readonly shape: Shape;
}

/** A `float`, also where the value is whole: `checkpoint_version` is 3.0. */
export function float(value: number): WritableFloat {
  return { kind: 'float', value };
}

export function tuple(items: readonly WritableValue[]): WritableTuple {
  return { kind: 'tuple', items };
}

/** A `collections.OrderedDict`, which a state_dict is. */
export function orderedDict(entries: Iterable<readonly [string | number, WritableValue]>): WritableOrderedDict {
  return { kind: 'ordered-dict', entries: [...entries] };
}

/** An `argparse.Namespace`; `torch.load(weights_only=True)` takes it once the class is registered, as Megatron does. */
export function namespace(fields: Readonly<Record<string, WritableValue>>): WritableNamespace {
  return { kind: 'namespace', fields };
}

export function tensorDeclaration(dtype: Dtype, shape: Shape): TorchTensorDeclaration {
  return { kind: 'tensor-declaration', dtype, shape };
}

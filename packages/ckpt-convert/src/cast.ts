import { CptError, castDtype, type Dtype, InvalidInputError } from '@pai-cpt/core';

/** `--dtype` and `--allow-cast`. */
export interface CastOptions {
  /** Of every written tensor; absent: each stays as it is. */
  readonly dtype?: 'F32' | 'BF16' | 'F16';
  /** Permits what loses bits: F32 → BF16 keeps 8 of 24 significant ones; F16 has 11, and no value past 65504. */
  readonly allowCast?: boolean;
}

/**
 * The dtype in which a tensor is written.
 * @throws InvalidInputError `CPT_INPUT_LOSSY_CAST` when bits would be lost and that was not permitted.
 */
export function writtenDtype(name: string, source: Dtype, { dtype, allowCast = false }: CastOptions): Dtype {
  const isWidened = dtype === 'F32' && (source === 'BF16' || source === 'F16');
  if (dtype === undefined || dtype === source || isWidened || allowCast) return dtype ?? source;
  throw new InvalidInputError(
    'CPT_INPUT_LOSSY_CAST',
    `"${name}" is ${source}; ${dtype} cannot hold all its bits. Permit rounding with --allow-cast, or keep it with --dtype source`,
    { names: [name] },
  );
}

/**
 * Elements of the tensor `name` in another dtype. @throws InvalidInputError `CPT_INPUT_CAST_OVERFLOW` with the tensor's name, for an
 * infinity among the weights would make one of every output.
 */
export function castElements(name: string, bytes: Uint8Array, from: Dtype, to: Dtype): Uint8Array {
  try {
    return castDtype(bytes, from, to);
  } catch (cause) {
    if (!CptError.isInstance(cause) || cause.code !== 'CPT_INPUT_CAST_OVERFLOW') throw cause;
    throw new InvalidInputError('CPT_INPUT_CAST_OVERFLOW', `"${name}": ${cause.message}`, { names: [name] }, { cause });
  }
}

import { type Dtype, InvalidInputError } from '@pai-cpt/core';

/** `--dtype` and `--allow-cast`. */
export interface CastOptions {
  /** Of every written tensor; absent: each stays as it is. */
  readonly dtype?: 'F32' | 'BF16';
  /** Permits F32 → BF16, which keeps 8 of 24 significant bits. */
  readonly allowCast?: boolean;
}

/**
 * The dtype in which a tensor is written.
 * @throws InvalidInputError `CPT_INPUT_LOSSY_CAST` when bits would be lost and that was not permitted.
 */
export function writtenDtype(name: string, source: Dtype, { dtype, allowCast = false }: CastOptions): Dtype {
  if (dtype === undefined || dtype === source || (source === 'BF16' && dtype === 'F32') || allowCast) {
    return dtype ?? source;
  }
  throw new InvalidInputError(
    'CPT_INPUT_LOSSY_CAST',
    `"${name}" is ${source}; ${dtype} cannot hold all its bits. Permit rounding with --allow-cast, or keep it with --dtype source`,
    { names: [name] },
  );
}

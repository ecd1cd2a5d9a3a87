import { InvalidInputError } from '@pai-cpt/core';
import type { CastOptions } from './cast.ts';
import { parseByteSize } from './progress.ts';

/** Parses the value of `option`; refuses anything but digits. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function wholeNumber(option: string): (value: string) => number {
  return (value) => {
    if (/^\d+$/.test(value) && Number.isSafeInteger(Number(value))) return Number(value);
    throw invalid(option, value, 'give a whole number');
  };
}

/** Parses `--max-shard-size`. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function byteSize(value: string): number {
  const bytes = parseByteSize(value);
  if (bytes !== undefined) return bytes;
  throw invalid('--max-shard-size', value, 'give a size such as 5GB or 512MiB');
}

/** The one way in which a value of an option is refused. */
export function invalid(option: string, value: string, advice: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `${option} "${value}" cannot be used; ${advice}`, {
    field: option,
  });
}

/** `--dtype` and `--allow-cast` as options. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function castOptions(flags: { dtype: string; allowCast?: boolean }): CastOptions {
  const dtype = oneOf('--dtype', flags.dtype, ['source', 'bf16', 'f32']);
  return {
    ...(dtype !== 'source' && { dtype: dtype === 'bf16' ? 'BF16' : 'F32' }),
    allowCast: flags.allowCast === true,
  };
}

/** The value, if it is one of `allowed`. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw invalid(option, value, `give ${allowed.join(' or ')}`);
}

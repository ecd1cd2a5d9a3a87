import { InvalidInputError } from '@pai-cpt/core';
import type { CastOptions } from './cast.ts';
import type { IterationChoice } from './locate-checkpoint.ts';
import { type Part, requirePart } from './output/parts.ts';
import { parseByteSize } from './progress.ts';

/** Parses the value of `option`; refuses anything but digits. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function wholeNumber(option: string): (value: string) => number {
  return (value) => {
    if (/^\d+$/.test(value) && Number.isSafeInteger(Number(value))) return Number(value);
    throw invalid(option, value, 'give a whole number');
  };
}

/** Parses `--iteration` of a source: a number, or `release`. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function iterationOption(value: string): IterationChoice {
  return value === 'release' ? value : wholeNumber('--iteration')(value);
}

/** Parses `--max-shard-size`. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function byteSize(value: string): number {
  const bytes = parseByteSize(value);
  if (bytes !== undefined) return bytes;
  throw invalid('--max-shard-size', value, 'give a size such as 5GB or 512MiB');
}

/** Parses `--replica`: a tensor rank, `first`, or `mean`. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function replicaOption(value: string): number | 'mean' {
  if (value === 'first') return 0;
  if (value === 'mean') return 'mean';
  if (/^\d{1,6}$/.test(value)) return Number(value);
  throw invalid('--replica', value, 'give first, a tensor rank from 0, or mean');
}

/** Parses `--workers`. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function workersOption(value: string): number {
  const workers = wholeNumber('--workers')(value);
  if (workers > 0) return workers;
  throw invalid('--workers', value, 'give a number from 1 on');
}

/** Parses `--part`. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function partOption(value: string): Part {
  const [, index, of] = /^(\d+)\/(\d+)$/.exec(value) ?? [];
  if (index === undefined || of === undefined) throw invalid('--part', value, 'give I/N, for example 2/8');
  const part = { index: Number(index), of: Number(of) };
  if (part.index === 0) {
    throw invalid('--part', value, 'parts count from 1; where RANK counts from 0 write --part $((RANK+1))/$WORLD_SIZE');
  }
  requirePart(part);
  return part;
}

/** The one way in which a value of an option is refused. */
export function invalid(option: string, value: string, advice: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `${option} "${value}" cannot be used; ${advice}`, {
    field: option,
  });
}

/** `--dtype` and `--allow-cast` as options. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function castOptions(flags: { dtype: string; allowCast?: boolean }): CastOptions {
  const dtype = oneOf('--dtype', flags.dtype, ['source', 'bf16', 'f16', 'f32']);
  const spelt = { bf16: 'BF16', f16: 'F16', f32: 'F32' } as const;
  return {
    ...(dtype !== 'source' && { dtype: spelt[dtype] }),
    allowCast: flags.allowCast === true,
  };
}

/** The value, if it is one of `allowed`. @throws InvalidInputError `CPT_INPUT_INVALID`. */
export function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw invalid(option, value, `give ${allowed.join(' or ')}`);
}

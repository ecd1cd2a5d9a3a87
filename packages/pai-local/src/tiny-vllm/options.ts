import { parseArgs } from 'node:util';
import { InvalidInputError } from '@pai-cpt/core';

/** What `vllm serve` was asked to do. */
export interface ServeOptions {
  readonly modelDirectory: string;
  readonly servedModelName: string;
  readonly host: string;
  readonly port: number;
  /** `undefined` leaves it to the model. */
  readonly maxModelLength: number | undefined;
}

const text = { type: 'string' } as const;

/** Those of the second group divide a model over GPUs; they are accepted and change nothing here. */
const OPTIONS = {
  'served-model-name': text,
  host: text,
  port: text,
  'max-model-len': text,

  'tensor-parallel-size': text,
  'pipeline-parallel-size': text,
  'gpu-memory-utilization': text,
  dtype: text,
  'trust-remote-code': { type: 'boolean' },
} as const;

/**
 * The options of `vllm serve MODEL_DIR …`.
 * @throws InvalidInputError `CPT_INPUT_INVALID` naming the option.
 */
export function parseServeOptions(args: readonly string[]): ServeOptions {
  const { values, positionals } = readArguments(args);
  const [command, modelDirectory, ...rest] = positionals;
  if (command !== 'serve' || modelDirectory === undefined || rest.length > 0) {
    throw invalid('arguments', 'usage: vllm serve MODEL_DIR --served-model-name NAME --port PORT [--max-model-len N]');
  }
  return {
    modelDirectory,
    servedModelName: values['served-model-name'] ?? modelDirectory,
    host: values.host ?? '127.0.0.1',
    port: wholeNumber('port', values.port ?? '8000', 0, 65_535),
    maxModelLength:
      values['max-model-len'] === undefined
        ? undefined
        : wholeNumber('max-model-len', values['max-model-len'], 1, 2 ** 31),
  };
}

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: true });
  } catch (error) {
    throw invalid('arguments', error instanceof Error ? error.message : String(error), error);
  }
}

function wholeNumber(name: string, value: string, least: number, most: number): number {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw invalid(name, `--${name} is "${value}"; it must be a whole number from ${least} to ${most}`);
}

function invalid(field: string, message: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', message, { field }, { cause });
}

import { CptError, type ErrorCode, type ErrorDetails } from '@pai-cpt/core';
import type { CastOptions } from '../cast.ts';
import type { OpenCheckpointOptions } from '../checkpoint.ts';
import type { TensorChoice } from '../choose-tensors.ts';
import type { DigestKind } from '../digest/digests.ts';
import type { WrittenFile } from '../execute.ts';
import type { ReshardOptions } from '../reshard.ts';
import type { ToMegatronOptions } from '../to-megatron.ts';

/** What a thread needs to open the source and plan the conversion again, which is less than a plan is. */
export type ThreadTask =
  | {
      readonly command: 'to-hf';
      /** The directory of the iteration. */
      readonly source: string;
      readonly open: OpenCheckpointOptions;
      readonly choice: TensorChoice;
      readonly cast: CastOptions;
      readonly maxShardBytes: number;
    }
  | { readonly command: 'to-megatron'; readonly source: string; readonly options: ToMegatronOptions }
  | { readonly command: 'reshard'; readonly source: string; readonly options: ReshardOptions };

export interface ThreadSetup {
  readonly task: ThreadTask;
  /** The digest of the plan, which must come out again. */
  readonly plan: string;
  /** Where the files are written. */
  readonly folder: string;
  readonly digest: DigestKind;
}

/** Asks for one file of the output. */
export interface ThreadRequest {
  readonly name: string;
}

/** Bytes of the file that are done, at the end the file, or why there is none. */
export interface ThreadReply {
  readonly doneBytes?: number;
  readonly file?: WrittenFile;
  readonly error?: ThreadError;
}

/** An error as data; without a code it is a defect of ours. */
export interface ThreadError {
  readonly code?: ErrorCode;
  readonly message: string;
  readonly details?: ErrorDetails;
}

export function toThreadError(error: unknown): ThreadError {
  if (CptError.isInstance(error)) return { code: error.code, message: error.message, details: error.details };
  return { message: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) };
}

export function fromThreadError({ code, message, details }: ThreadError): Error {
  return code === undefined ? new Error(message) : new CptError(code, message, details);
}

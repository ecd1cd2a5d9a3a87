import type { BinFileOptions } from '../output/bin-file.ts';
import type { SentMemory } from '../shared-memory.ts';
import type { ThreadError } from '../thread-messages.ts';

/** What is to be done with a file of the thread that writes. */
export type FilesMethod =
  | { name: 'openBin'; options: BinFileOptions }
  | { name: 'follow'; path: string; from: number }
  | { name: 'append'; bytes: Uint8Array }
  | { name: 'appendShared'; memory: SentMemory; from: number; byteLength: number }
  | { name: 'advance'; to: number }
  | { name: 'digest'; to?: number }
  | { name: 'sync' }
  | { name: 'close' };

export interface FilesRequest {
  /** Number of the answer; absent when none is wanted. */
  call?: number;
  file: number;
  method: FilesMethod;
}

export interface FilesReply {
  call: number;
  value?: unknown;
  error?: ThreadError;
}

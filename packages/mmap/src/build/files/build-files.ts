import { type BinFile, type BinFileOptions, openBinFile } from '../output/bin-file.ts';
import { followFile, type RunningDigest } from './node.ts';

/** What a build writes and hashes: here, or in a thread of its own. */
export interface BuildFiles {
  openBin(options: BinFileOptions): Promise<BinFile>;
  /** The sha256 of the bytes of an input from `from` on, read a second time behind those who encode. */
  follow(path: string, from: number): Promise<RunningDigest>;
  close(): Promise<void>;
}

/** In this thread. */
export const LOCAL_FILES: BuildFiles = { openBin: openBinFile, follow: followFile, close: async () => undefined };

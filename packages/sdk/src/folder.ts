/** A folder in storage, as whoever can see it shows it. The SDK itself reads no files: see `localFolder` of `@pai-cpt/sdk/node`. */
export interface FolderView {
  /** The files directly in it. */
  list(): Promise<readonly { readonly name: string; readonly bytes: number; readonly modifiedMs?: number }[]>;
  /** The text of one of them. */
  readText(name: string): Promise<string>;
  /** The SHA-256 of one of them in hex, read piece by piece; a view without it cannot show that weights are unchanged. */
  sha256?(name: string, signal?: AbortSignal): Promise<string>;
}

/** The base name of the data set that PAI-QuickStart reads: see docs of PAI, "Continued pre-training for large models". */
export { DATASET_NAME } from './routes/quickstart-input.ts';

/** A folder in storage, as whoever can see it shows it. The SDK itself reads no files: see `localFolder` of `@pai-cpt/sdk/node`. */
export interface FolderView {
  /** The files directly in it. */
  list(): Promise<readonly { readonly name: string; readonly bytes: number }[]>;
  /** The text of one of them. */
  readText(name: string): Promise<string>;
}

/** The base name of the data set that PAI-QuickStart reads: see docs of PAI, "Continued pre-training for large models". */
export { DATASET_NAME } from './routes/quickstart-input.ts';

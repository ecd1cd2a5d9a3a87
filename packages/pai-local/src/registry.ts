import { join } from 'node:path';
import { openStore, type Store } from './state.ts';

/** A data set of the workspace: what CreateDataset was given. */
export interface DatasetRecord {
  readonly kind: 'dataset';
  readonly datasetId: string;
  readonly sequence: number;
  readonly workspaceId: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly createdAt: number;
}

/** One version of a model: what CreateModelVersion was given. */
export interface ModelVersionRecord {
  readonly versionName: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly createdAt: number;
}

/** A model of the workspace, or of the Model Gallery, with its versions, oldest first. */
export interface ModelRecord {
  readonly kind: 'model';
  readonly modelId: string;
  readonly sequence: number;
  readonly workspaceId: string;
  /** `pai` for a card of the Model Gallery; the account's own models have none. */
  readonly provider?: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly createdAt: number;
  readonly versions: ModelVersionRecord[];
}

/** What the workspace keeps besides jobs. */
export interface Registry {
  readonly datasets: Store<DatasetRecord>;
  readonly models: Store<ModelRecord>;
  /** Where a data set lies; `undefined` when there is no such data set. */
  readonly uriOfDataset: DatasetUris;
  flush(): Promise<void>;
}

/** The URI of a data set by its id. */
export type DatasetUris = (datasetId: string) => string | undefined;

/** Opens the registry in `stateDirectory`, with what an earlier run left there. @throws FormatError `CPT_FORMAT_STATE_FILE` */
export async function openRegistry(stateDirectory: string): Promise<Registry> {
  const datasets = await openStore<DatasetRecord>(join(stateDirectory, 'datasets'), 'dataset');
  const models = await openStore<ModelRecord>(join(stateDirectory, 'models'), 'model');
  return {
    datasets,
    models,
    uriOfDataset: (datasetId) => datasets.get(datasetId)?.request.Uri as string | undefined,
    async flush() {
      await Promise.all([datasets.flush(), models.flush()]);
    },
  };
}

import { InvalidInputError } from '@pai-cpt/core';
import { DATASET_NAME, type FolderView } from './folder.ts';
import { listPages } from './list-pages.ts';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import type { WireLabel } from './studio-wire.ts';
import type { WireDataset } from './workspace-wire.ts';

interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** A data set of the workspace: a name for a folder in storage. */
export interface Dataset {
  readonly datasetId: string;
  readonly name: string;
  /** `nas://…` or `oss://…`. */
  readonly uri: string;
  /** PAI's kind of storage, such as NAS. */
  readonly sourceType?: string;
  readonly workspaceId?: string;
  readonly description?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt?: string;
}

/** A folder to register. */
export interface DatasetInput {
  name: string;
  /** `nas://<file system id>.<region>/<path>` or `oss://<bucket>.<endpoint>/<path>`. */
  uri: string;
  description?: string;
  labels?: Record<string, string>;
  /** Where a job sees it, when the job does not say. */
  mountPath?: string;
}

/** Whether a folder holds what QuickStart reads. */
export interface DatasetCheck {
  readonly uri: string;
  readonly isUsable: boolean;
  /** Of dataset.bin and dataset.idx, where they are there. */
  readonly bytes: { readonly bin?: number; readonly idx?: number };
  /** What to do about it; empty when it is usable. */
  readonly problems: readonly string[];
}

/** Magic, version, dtype code and two counts. */
const INDEX_HEADER_BYTES = 34;

/** The data sets of a workspace. */
export class Datasets {
  readonly #pai: PaiTransport;
  readonly #workspaceId: string | undefined;

  constructor(pai: PaiTransport, workspaceId?: string) {
    this.#pai = pai;
    this.#workspaceId = workspaceId;
  }

  /**
   * Gives a folder on NAS or OSS a name in the workspace.
   * @throws InvalidInputError `CPT_INPUT_INVALID` for another kind of URI. A create whose answer is lost is not repeated.
   */
  async register(input: DatasetInput, { signal }: CallOptions = {}): Promise<Dataset> {
    const body = {
      ...omitUndefined({
        Name: input.name,
        Uri: input.uri.endsWith('/') ? input.uri : `${input.uri}/`,
        WorkspaceId: this.#workspaceId,
        Description: input.description,
        Labels: input.labels && toLabels(input.labels),
        Options: input.mountPath && JSON.stringify({ mountPath: input.mountPath }),
      }),
      ...{ Property: 'DIRECTORY' as const, DataSourceType: sourceTypeOf(input.uri) },
    };
    const { DatasetId } = await this.#pai.call('CreateDataset', { body }, { signal });
    return this.get(DatasetId, { signal });
  }

  async get(datasetId: string, { signal }: CallOptions = {}): Promise<Dataset> {
    return toDataset(await this.#pai.call('GetDataset', { path: { DatasetId: datasetId } }, { signal }));
  }

  /** Data sets, newest first, page by page as it is read on; `name` is a part of the name. */
  async *list({ name, signal }: CallOptions & { name?: string } = {}): AsyncGenerator<Dataset, void, undefined> {
    const filter = { ...omitUndefined({ WorkspaceId: this.#workspaceId, Name: name }), Order: 'DESC' as const };
    const pages = listPages(
      async (page) => {
        const { Datasets, TotalCount } = await this.#pai.call(
          'ListDatasets',
          { query: { ...filter, ...page } },
          { signal },
        );
        return { items: Datasets, total: TotalCount };
      },
      ({ DatasetId }) => DatasetId,
    );
    for await (const dataset of pages) yield toDataset(dataset);
  }

  /** Forgets the name; the files stay. */
  async delete(datasetId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#pai.call('DeleteDataset', { path: { DatasetId: datasetId } }, { signal });
  }

  /**
   * Whether `dataset.bin` and `dataset.idx` are where QuickStart wants them: directly in the folder, by these names. The
   * cloud has no operation that lists a NAS, so `folder` must be given by whoever sees it: a local mount, or a lister.
   */
  async check(datasetIdOrUri: string, folder: FolderView, options: CallOptions = {}): Promise<DatasetCheck> {
    const isUri = datasetIdOrUri.includes('://');
    const uri = isUri ? datasetIdOrUri : (await this.get(datasetIdOrUri, options)).uri;
    return checkFolder(uri, await folder.list());
  }
}

/** As `Datasets.check`, from the files that are there. */
export function checkFolder(uri: string, files: readonly { name: string; bytes: number }[]): DatasetCheck {
  const bytesOf = (suffix: string) => files.find(({ name }) => name === `${DATASET_NAME}${suffix}`)?.bytes;
  const bytes = omitUndefined({ bin: bytesOf('.bin'), idx: bytesOf('.idx') });
  const problems: string[] = [];
  const pairs = files
    .filter(({ name }) => name.endsWith('.bin') && files.some((other) => other.name === name.replace(/bin$/, 'idx')))
    .map(({ name }) => name.replace(/\.bin$/, ''));
  for (const suffix of ['bin', 'idx'] as const) {
    if (bytes[suffix] !== undefined) continue;
    const [other] = pairs;
    const advice =
      other === undefined
        ? `build the data set there (cpt-mmap build), or copy it`
        : `rename ${other}.bin and ${other}.idx to ${DATASET_NAME}.bin and ${DATASET_NAME}.idx`;
    problems.push(`${uri} has no ${DATASET_NAME}.${suffix}: ${advice}`);
  }
  if (bytes.bin === 0) problems.push(`${uri}: ${DATASET_NAME}.bin is empty: it holds no token`);
  if (bytes.idx !== undefined && bytes.idx < INDEX_HEADER_BYTES) {
    problems.push(`${uri}: ${DATASET_NAME}.idx has ${bytes.idx} bytes; its header alone has ${INDEX_HEADER_BYTES}`);
  }
  return { uri, isUsable: problems.length === 0, bytes, problems };
}

function sourceTypeOf(uri: string): 'NAS' | 'OSS' {
  if (/^nas:\/\/[^/.]+\.[^/]+(\/|$)/.test(uri)) return 'NAS';
  if (/^oss:\/\/[^/.]+\.[^/]+(\/|$)/.test(uri)) return 'OSS';
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `uri is "${uri}"; give nas://<file system id>.<region>/<path> or oss://<bucket>.<endpoint>/<path>`,
    { field: 'uri' },
  );
}

function toDataset(wire: WireDataset): Dataset {
  return omitUndefined({
    datasetId: wire.DatasetId,
    name: wire.Name,
    uri: wire.Uri,
    sourceType: wire.DataSourceType,
    workspaceId: wire.WorkspaceId,
    description: wire.Description,
    labels: fromLabels(wire.Labels),
    createdAt: wire.GmtCreateTime,
  });
}

/** Labels as PAI writes them. */
export const toLabels = (labels: Readonly<Record<string, string>>): WireLabel[] =>
  Object.entries(labels).map(([Key, Value]) => ({ Key, Value }));

/** Labels by key. */
export const fromLabels = (labels: readonly WireLabel[] = []): Record<string, string> =>
  Object.fromEntries(labels.map(({ Key, Value }) => [Key, Value]));

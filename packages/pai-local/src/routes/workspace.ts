import { randomBytes } from 'node:crypto';
import { ApiError, invalidParameter, missingParameter } from '../api-error.ts';
import { readLabels, readText, requireChoice, requireText } from '../body-fields.ts';
import type { Clock } from '../clock.ts';
import { toMount } from '../mounts.ts';
import { type Operation, parseBody } from '../operations.ts';
import { compareBy, pageOf, type Query, readChoice, readInteger, readList } from '../parameters.ts';
import type { DatasetRecord, Registry } from '../registry.ts';
import { nextSequence } from '../state.ts';
import { checkWorkspace, LOCAL_WORKSPACE } from '../workspaces.ts';

/** AIWorkSpace's version of its API. */
export const WORKSPACE_VERSION = '2021-02-04';
const WORKSPACES = '/api/v1/workspaces';
const DATASETS = '/api/v1/datasets';
const PAGING = ['PageNumber', 'PageSize', 'SortBy', 'Order'];
const LIST_WORKSPACES_QUERY = [...PAGING, 'WorkspaceIds', 'WorkspaceName', 'Status', 'Option', 'Verbose', 'Fields'];
const LIST_DATASETS_QUERY = [...PAGING, 'WorkspaceId', 'Name', 'DataSourceTypes', 'DataTypes', 'Properties', 'Label'];

const SOURCE_TYPES = ['OSS', 'NAS', 'EXTREMENAS', 'CPFS', 'BMCPFS'];

/** An operation of AIWorkSpace. */
export const operation = (
  action: string,
  method: string,
  path: string,
  query: readonly string[],
  handle: Operation['handle'],
): Operation => ({ action, version: WORKSPACE_VERSION, method, path, query, handle });

/** The operations of AIWorkSpace on workspaces and data sets. */
export function workspaceOperations(registry: Registry, { now }: Clock): Operation[] {
  const { datasets } = registry;
  const findDataset = (datasetId: string | undefined): DatasetRecord => {
    const dataset = datasets.get(datasetId ?? '');
    if (dataset) return dataset;
    throw new ApiError(404, 'DatasetNotFound', `Dataset ${datasetId} does not exist.`);
  };
  return [
    operation('ListWorkspaces', 'GET', WORKSPACES, LIST_WORKSPACES_QUERY, ({ query }) => listWorkspaces(query)),
    operation('GetWorkspace', 'GET', `${WORKSPACES}/{WorkspaceId}`, ['Verbose'], ({ path }) => {
      checkWorkspace(path.WorkspaceId);
      return { ...LOCAL_WORKSPACE };
    }),
    operation('GetDefaultWorkspace', 'GET', '/api/v1/defaultWorkspaces', ['Verbose'], () => ({ ...LOCAL_WORKSPACE })),
    operation('CreateDataset', 'POST', DATASETS, [], async ({ body }) => {
      const dataset = createDataset(parseBody(body), nextSequence(datasets.values()), now());
      if (datasets.values().some(({ request }) => request.Name === dataset.request.Name)) {
        throw new ApiError(400, 'DatasetNameDuplicated', `Dataset ${dataset.request.Name} exists already.`);
      }
      datasets.put(dataset.datasetId, dataset);
      await datasets.flush();
      return { DatasetId: dataset.datasetId };
    }),
    operation('ListDatasets', 'GET', DATASETS, LIST_DATASETS_QUERY, ({ query }) =>
      listDatasets(datasets.values(), query),
    ),
    operation('GetDataset', 'GET', `${DATASETS}/{DatasetId}`, [], ({ path }) =>
      toWireDataset(findDataset(path.DatasetId)),
    ),
    operation('DeleteDataset', 'DELETE', `${DATASETS}/{DatasetId}`, [], ({ path }) => {
      datasets.delete(findDataset(path.DatasetId).datasetId);
      return {};
    }),
  ];
}

function listWorkspaces(query: Query): Record<string, unknown> {
  // Without this option PAI gives what a workspace can be opened with, and no list.
  const option = readChoice(query, 'Option', ['GetWorkspaces', 'GetResourceLimits'], 'GetWorkspaces');
  if (option === 'GetResourceLimits') return { ResourceLimits: {}, TotalCount: 0 };
  const ids = readList(query, 'WorkspaceIds');
  const { pageNumber, pageSize } = readPage(query);
  const found = [LOCAL_WORKSPACE].filter(
    ({ WorkspaceId, WorkspaceName, Status }) =>
      (ids === undefined || ids.includes(WorkspaceId)) &&
      WorkspaceName.includes(query.get('WorkspaceName') ?? '') &&
      (query.get('Status') || Status) === Status,
  );
  return { Workspaces: pageOf(found, pageNumber, pageSize), TotalCount: found.length };
}

function createDataset(request: Record<string, unknown>, sequence: number, now: number): DatasetRecord {
  for (const name of ['Name', 'Property', 'DataSourceType', 'Uri']) {
    if (request[name] === undefined || request[name] === '') throw missingParameter(name);
  }
  const name = requireText(request, 'Name');
  if (!/^[\p{L}\p{N}][\p{L}\p{N}_-]{0,126}$/u.test(name)) {
    throw invalidParameter(`Name is "${name}"; 1 to 127 letters, digits, _ and -, a letter or digit first.`);
  }
  requireChoice(request, 'Property', ['FILE', 'DIRECTORY']);
  const sourceType = requireChoice(request, 'DataSourceType', SOURCE_TYPES);
  if (sourceType !== 'OSS' && sourceType !== 'NAS') {
    throw invalidParameter(`DataSourceType is ${sourceType}; pai-local keeps NAS and OSS.`);
  }
  toMount('The data set', '/data', request.Uri, [sourceType.toLowerCase()]);
  checkOptions(readText(request, 'Options'));
  readLabels(request, 'Labels');
  const workspaceId = checkWorkspace(readText(request, 'WorkspaceId'));
  const datasetId = `d-${randomBytes(9).toString('hex')}`;
  return { kind: 'dataset', datasetId, sequence, workspaceId, request, createdAt: now };
}

function checkOptions(options: string | undefined): void {
  try {
    if (options !== undefined) JSON.parse(options);
  } catch {
    throw invalidParameter(`Options is not JSON in a string: ${options}`);
  }
}

function listDatasets(datasets: readonly DatasetRecord[], query: Query): Record<string, unknown> {
  const order = readChoice(query, 'Order', ['ASC', 'DESC'], 'ASC');
  readChoice(query, 'SortBy', ['GmtCreateTime'], 'GmtCreateTime');
  const workspaceId = checkWorkspace(query.get('WorkspaceId'));
  const { pageNumber, pageSize } = readPage(query);
  const oneOf = (parameter: string, value: unknown) => {
    const wanted = readList(query, parameter);
    return wanted === undefined || wanted.includes(String(value));
  };
  const label = query.get('Label') ?? '';
  const found = datasets
    .filter(
      ({ request, workspaceId: of }) =>
        of === workspaceId &&
        String(request.Name)
          .toLowerCase()
          .includes((query.get('Name') ?? '').toLowerCase()) &&
        oneOf('DataSourceTypes', request.DataSourceType) &&
        oneOf('DataTypes', request.DataType ?? 'COMMON') &&
        oneOf('Properties', request.Property) &&
        (label === '' || Object.entries(readLabels(request, 'Labels')).some((pair) => pair.join('\n').includes(label))),
    )
    .sort(compareBy(({ sequence }) => sequence, order === 'ASC' ? 'asc' : 'desc'));
  return { Datasets: pageOf(found, pageNumber, pageSize).map(toWireDataset), TotalCount: found.length };
}

function toWireDataset({ datasetId, workspaceId, request, createdAt }: DatasetRecord): Record<string, unknown> {
  const at = new Date(createdAt).toISOString();
  return {
    ...{ Accessibility: 'PRIVATE', DataType: 'COMMON', SourceType: 'USER', ProviderType: 'Ecs', Labels: [] },
    ...request,
    ...{ DatasetId: datasetId, WorkspaceId: workspaceId, GmtCreateTime: at, GmtModifiedTime: at },
  };
}

/** The page that a list of AIWorkSpace asks for; ten entries by default. */
export function readPage(query: Query): { pageNumber: number; pageSize: number } {
  return {
    pageNumber: readInteger(query, 'PageNumber', { fallback: 1, min: 1, max: 1_000_000 }),
    pageSize: readInteger(query, 'PageSize', { fallback: 10, min: 1, max: 100 }),
  };
}

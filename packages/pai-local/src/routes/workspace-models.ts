import { randomBytes } from 'node:crypto';
import { ApiError, invalidParameter } from '../api-error.ts';
import { readLabels, readText, requireText } from '../body-fields.ts';
import type { Clock } from '../clock.ts';
import { GALLERY } from '../model-gallery.ts';
import { type Operation, parseBody } from '../operations.ts';
import { compareBy, isRecord, pageOf, type Query, readChoice } from '../parameters.ts';
import type { ModelRecord, ModelVersionRecord, Registry } from '../registry.ts';
import { nextSequence } from '../state.ts';
import { checkWorkspace } from '../workspaces.ts';
import { operation, readPage } from './workspace.ts';

const MODELS = '/api/v1/models';
const MODEL = `${MODELS}/{ModelId}`;
const VERSIONS = `${MODEL}/versions`;
const PAGING = ['PageNumber', 'PageSize', 'SortBy', 'Order'];
const FILTERS = ['WorkspaceId', 'ModelName', 'Provider', 'Query', 'Domain', 'Task', 'Origin', 'ModelType', 'Label'];
const LIST_VERSIONS_QUERY = [...PAGING, 'VersionName', 'FormatType', 'FrameworkType', 'ApprovalStatus', 'Label'];

/** The operations of AIWorkSpace on models: those of the account, and the cards of the Model Gallery (Provider `pai`). */
export function modelOperations(registry: Registry, { now }: Clock): Operation[] {
  const { models } = registry;
  const find = (modelId: string | undefined): ModelRecord => {
    const model = models.get(modelId ?? '') ?? GALLERY.find((card) => card.modelId === modelId);
    if (model) return model;
    throw new ApiError(404, 'ModelNotFound', `Model ${modelId} does not exist.`);
  };
  const findOwn = (modelId: string | undefined): ModelRecord => {
    const model = find(modelId);
    if (model.provider === undefined) return model;
    throw new ApiError(403, 'Forbidden.ModelReadOnly', `Model ${modelId} belongs to ${model.provider}.`);
  };
  return [
    operation('CreateModel', 'POST', MODELS, [], async ({ body }) => {
      const model = createModel(parseBody(body), nextSequence(models.values()), now());
      if (models.values().some(({ request }) => request.ModelName === model.request.ModelName)) {
        throw new ApiError(400, 'ModelNameDuplicated', `Model ${model.request.ModelName} exists already.`);
      }
      models.put(model.modelId, model);
      await models.flush();
      return { ModelId: model.modelId };
    }),
    operation('ListModels', 'GET', MODELS, [...PAGING, ...FILTERS], ({ query }) => listModels(models.values(), query)),
    operation('GetModel', 'GET', MODEL, [], ({ path }) => toWireModel(find(path.ModelId))),
    operation('DeleteModel', 'DELETE', MODEL, [], ({ path }) => {
      models.delete(findOwn(path.ModelId).modelId);
      return {};
    }),
    operation('CreateModelVersion', 'POST', VERSIONS, [], async ({ path, body }) => {
      const model = findOwn(path.ModelId);
      const version = createVersion(model, parseBody(body), now());
      model.versions.push(version);
      models.put(model.modelId, model);
      await models.flush();
      return { VersionName: version.versionName };
    }),
    operation('ListModelVersions', 'GET', VERSIONS, LIST_VERSIONS_QUERY, ({ path, query }) =>
      listVersions(find(path.ModelId), query),
    ),
    operation('GetModelVersion', 'GET', `${VERSIONS}/{VersionName}`, [], ({ path }) =>
      toWireVersion(findVersion(find(path.ModelId), path.VersionName)),
    ),
    operation('DeleteModelVersion', 'DELETE', `${VERSIONS}/{VersionName}`, [], ({ path }) => {
      const model = findOwn(path.ModelId);
      model.versions.splice(model.versions.indexOf(findVersion(model, path.VersionName)), 1);
      models.put(model.modelId, model);
      return {};
    }),
  ];
}

function createModel(request: Record<string, unknown>, sequence: number, now: number): ModelRecord {
  const name = requireText(request, 'ModelName');
  if (name.length > 127) throw invalidParameter(`ModelName has ${name.length} characters; 127 at most.`);
  readLabels(request, 'Labels');
  const workspaceId = checkWorkspace(readText(request, 'WorkspaceId'));
  const modelId = `model-${randomBytes(8).toString('hex')}`;
  return { kind: 'model', modelId, sequence, workspaceId, request, createdAt: now, versions: [] };
}

function createVersion(model: ModelRecord, request: Record<string, unknown>, now: number): ModelVersionRecord {
  requireText(request, 'Uri');
  readLabels(request, 'Labels');
  for (const name of ['InferenceSpec', 'TrainingSpec', 'ExtraInfo', 'Metrics']) {
    if (request[name] !== undefined && !isRecord(request[name])) throw invalidParameter(`${name} is not an object.`);
  }
  const sourceType = readText(request, 'SourceType') ?? 'Custom';
  const sourceId = readText(request, 'SourceId') ?? '';
  if (sourceType !== 'Custom' && !/^region=[^,]+,workspaceId=[^,]+,kind=[^,]+,id=[^,]+$/.test(sourceId)) {
    throw invalidParameter(`SourceId is "${sourceId}"; with ${sourceType} it is region=…,workspaceId=…,kind=…,id=….`);
  }
  const versionName = readText(request, 'VersionName') ?? nextVersion(model);
  if (!/^\d+\.\d+\.\d[\w]*$/.test(versionName)) {
    throw invalidParameter(`VersionName is "${versionName}"; it is like 1.1.0 or 2.3.4_beta.`);
  }
  if (model.versions.some((version) => version.versionName === versionName)) {
    throw new ApiError(400, 'ModelVersionDuplicated', `Version ${versionName} of ${model.modelId} exists already.`);
  }
  return { versionName, request, createdAt: now };
}

/** The first is 0.1.0; later ones count up in the middle: 0.2.0. */
function nextVersion({ versions }: ModelRecord): string {
  const minors = versions.map(({ versionName }) => Number(/^0\.(\d+)\./.exec(versionName)?.[1] ?? 0));
  return `0.${Math.max(0, ...minors) + 1}.0`;
}

function findVersion(model: ModelRecord, versionName: string | undefined): ModelVersionRecord {
  const version = model.versions.find((candidate) => candidate.versionName === versionName);
  if (version) return version;
  throw new ApiError(404, 'ModelVersionNotFound', `Model ${model.modelId} has no version ${versionName}.`);
}

function listModels(own: readonly ModelRecord[], query: Query): Record<string, unknown> {
  const order = readOrder(query);
  const { pageNumber, pageSize } = readPage(query);
  const provider = query.get('Provider');
  // Without a provider only what the account itself owns is listed.
  const workspaceId = provider ? '' : checkWorkspace(query.get('WorkspaceId'));
  const models = provider ? GALLERY.filter((card) => card.provider === provider) : own;
  const equals = (parameter: string, value: unknown) => (query.get(parameter) || value) === value;
  const found = models
    .filter(
      (model) =>
        model.workspaceId === workspaceId &&
        isNamed(String(model.request.ModelName), query.get('ModelName') ?? '') &&
        JSON.stringify(model.request)
          .toLowerCase()
          .includes((query.get('Query') ?? '').toLowerCase()) &&
        labelsInclude(model.request, query.get('Label')) &&
        ['Domain', 'Task', 'Origin', 'ModelType'].every((field) => equals(field, model.request[field])),
    )
    .sort(compareBy(({ sequence }) => sequence, order));
  return { Models: pageOf(found, pageNumber, pageSize).map(toWireModel), TotalCount: found.length };
}

/** A name in double quotes is meant exactly, another one as a part. */
function isNamed(name: string, wanted: string): boolean {
  const exact = /^"(.*)"$/.exec(wanted)?.[1];
  return exact === undefined ? name.toLowerCase().includes(wanted.toLowerCase()) : name === exact;
}

function listVersions(model: ModelRecord, query: Query): Record<string, unknown> {
  const order = readOrder(query);
  const { pageNumber, pageSize } = readPage(query);
  const found = model.versions
    .filter(
      ({ versionName, request }) =>
        (query.get('VersionName') || versionName) === versionName &&
        labelsInclude(request, query.get('Label')) &&
        ['FormatType', 'FrameworkType', 'ApprovalStatus'].every(
          (field) => (query.get(field) || request[field]) === request[field],
        ),
    )
    .sort(compareBy(({ createdAt }) => createdAt, order));
  return { Versions: pageOf(found, pageNumber, pageSize).map(toWireVersion), TotalCount: found.length };
}

function readOrder(query: Query): 'asc' | 'desc' {
  readChoice(query, 'SortBy', ['GmtCreateTime'], 'GmtCreateTime');
  return readChoice(query, 'Order', ['ASC', 'DESC'], 'ASC') === 'ASC' ? 'asc' : 'desc';
}

function labelsInclude(request: Readonly<Record<string, unknown>>, wanted = ''): boolean {
  return (
    wanted === '' || Object.entries(readLabels(request, 'Labels')).some((pair) => pair.join('\n').includes(wanted))
  );
}

function toWireModel(model: ModelRecord): Record<string, unknown> {
  const latest = model.versions.at(-1);
  const at = new Date(model.createdAt).toISOString();
  return {
    ...{ Accessibility: 'PRIVATE', Labels: [], Provider: model.provider ?? '' },
    ...model.request,
    ...{ ModelId: model.modelId, WorkspaceId: model.workspaceId, GmtCreateTime: at },
    GmtModifiedTime: new Date(latest?.createdAt ?? model.createdAt).toISOString(),
    ...(latest && { LatestVersion: toWireVersion(latest) }),
  };
}

function toWireVersion({ versionName, request, createdAt }: ModelVersionRecord): Record<string, unknown> {
  const at = new Date(createdAt).toISOString();
  return {
    ...{ ApprovalStatus: 'Pending', SourceType: 'Custom', Labels: [] },
    ...request,
    ...{ VersionName: versionName, GmtCreateTime: at, GmtModifiedTime: at },
  };
}

import type { PaiOperation } from './pai-wire.ts';
import type { WireAlgorithmSpec, WireHyperParameter, WireInputChannel, WireLabel } from './studio-wire.ts';

/* AIWorkSpace, aiworkspace 2021-02-04: workspaces, data sets, models. In PAI's own names. */

const workspace = (method: PaiOperation['method'], path: string, isIdempotent = true): PaiOperation => ({
  product: 'aiworkspace',
  version: '2021-02-04',
  method,
  path: `/api/v1${path}`,
  isIdempotent,
});

/** Every operation of AIWorkSpace in use (aliyun/alibabacloud-typescript-sdk@06a71f93, aiworkspace-20210204). */
export const WORKSPACE_OPERATIONS = {
  ListWorkspaces: workspace('GET', '/workspaces'),
  GetWorkspace: workspace('GET', '/workspaces/{WorkspaceId}'),
  CreateDataset: workspace('POST', '/datasets', false),
  ListDatasets: workspace('GET', '/datasets'),
  GetDataset: workspace('GET', '/datasets/{DatasetId}'),
  DeleteDataset: workspace('DELETE', '/datasets/{DatasetId}'),
  CreateModel: workspace('POST', '/models', false),
  ListModels: workspace('GET', '/models'),
  CreateModelVersion: workspace('POST', '/models/{ModelId}/versions', false),
  ListModelVersions: workspace('GET', '/models/{ModelId}/versions'),
} as const satisfies Record<string, PaiOperation>;

interface Paging {
  PageNumber: number;
  PageSize: number;
}

/** What the operations of AIWorkSpace take and give. */
export interface WorkspaceCalls {
  ListWorkspaces: {
    path?: undefined;
    query: Paging & { WorkspaceName?: string; Option?: 'GetWorkspaces' };
    body?: undefined;
    answer: { Workspaces: WireWorkspace[]; TotalCount: number };
  };
  GetWorkspace: { path: { WorkspaceId: string }; query?: undefined; body?: undefined; answer: WireWorkspace };
  CreateDataset: { path?: undefined; query?: undefined; body: WireCreateDataset; answer: { DatasetId: string } };
  ListDatasets: {
    path?: undefined;
    query: Paging & { WorkspaceId?: string; Name?: string; DataSourceTypes?: string; Order?: 'ASC' | 'DESC' };
    body?: undefined;
    answer: { Datasets: WireDataset[]; TotalCount: number };
  };
  GetDataset: { path: { DatasetId: string }; query?: undefined; body?: undefined; answer: WireDataset };
  DeleteDataset: { path: { DatasetId: string }; query?: undefined; body?: undefined; answer: { RequestId?: string } };
  CreateModel: { path?: undefined; query?: undefined; body: WireCreateModel; answer: { ModelId: string } };
  ListModels: {
    path?: undefined;
    query: Paging & { WorkspaceId?: string; Provider?: string; ModelName?: string; Order?: 'ASC' | 'DESC' };
    body?: undefined;
    answer: { Models: WireModel[]; TotalCount: number };
  };
  CreateModelVersion: {
    path: { ModelId: string };
    query?: undefined;
    body: WireCreateModelVersion;
    answer: { VersionName: string };
  };
  ListModelVersions: {
    path: { ModelId: string };
    query: Paging & { VersionName?: string; Order?: 'ASC' | 'DESC' };
    body?: undefined;
    answer: { Versions: WireModelVersion[]; TotalCount: number };
  };
}

/** A workspace. */
export interface WireWorkspace {
  WorkspaceId: string;
  WorkspaceName: string;
  IsDefault?: boolean;
  Status?: string;
  [field: string]: unknown;
}

/** The body of CreateDataset. */
export interface WireCreateDataset {
  Name: string;
  Property: 'DIRECTORY' | 'FILE';
  DataSourceType: 'NAS' | 'OSS';
  Uri: string;
  WorkspaceId?: string;
  Description?: string;
  Labels?: WireLabel[];
  /** JSON in text, such as `{"mountPath":"/mnt/data"}`. */
  Options?: string;
}

/** A data set. */
export interface WireDataset {
  DatasetId: string;
  Name: string;
  DataSourceType?: string;
  Property?: string;
  Uri: string;
  WorkspaceId?: string;
  Description?: string;
  Labels?: WireLabel[];
  GmtCreateTime?: string;
  [field: string]: unknown;
}

/** The body of CreateModel. */
export interface WireCreateModel {
  ModelName: string;
  WorkspaceId?: string;
  ModelDescription?: string;
  Domain?: string;
  Task?: string;
}

/** A model, its newest version included. */
export interface WireModel {
  ModelId: string;
  ModelName: string;
  Provider?: string;
  WorkspaceId?: string;
  ModelDescription?: string;
  GmtCreateTime?: string;
  LatestVersion?: WireModelVersion;
  [field: string]: unknown;
}

/** The body of CreateModelVersion. */
export interface WireCreateModelVersion {
  Uri: string;
  VersionName?: string;
  VersionDescription?: string;
  FormatType?: string;
  FrameworkType?: string;
  SourceType?: 'Custom' | 'PAIFlow' | 'TrainingService';
  SourceId?: string;
  Labels?: WireLabel[];
  ExtraInfo?: Record<string, unknown>;
  InferenceSpec?: Record<string, unknown>;
  TrainingSpec?: Record<string, unknown>;
}

/** How a model is trained: an algorithm by name, or one that comes with it, and its defaults. */
export interface WireTrainingSpec {
  AlgorithmName?: string;
  AlgorithmProvider?: string;
  AlgorithmVersion?: string;
  AlgorithmSpec?: WireAlgorithmSpec;
  HyperParameters?: WireHyperParameter[];
  InputChannels?: WireInputChannel[];
  [field: string]: unknown;
}

/** A version of a model. */
export interface WireModelVersion {
  VersionName: string;
  Uri?: string;
  FormatType?: string;
  SourceType?: string;
  SourceId?: string;
  VersionDescription?: string;
  Labels?: WireLabel[];
  ExtraInfo?: Record<string, unknown>;
  TrainingSpec?: WireTrainingSpec;
  InferenceSpec?: Record<string, unknown>;
  GmtCreateTime?: string;
  [field: string]: unknown;
}

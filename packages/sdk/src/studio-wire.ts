import type { PaiOperation } from './pai-wire.ts';

/* PAI Studio, paistudio 2022-01-12: the training jobs of QuickStart, algorithms, quotas. In PAI's own names. */

const studio = (method: PaiOperation['method'], path: string, isIdempotent = true): PaiOperation => ({
  product: 'paistudio',
  version: '2022-01-12',
  method,
  path: `/api/v1${path}`,
  isIdempotent,
});

/** Every operation of Studio in use (aliyun/alibabacloud-typescript-sdk@06a71f93, paistudio-20220112). */
export const STUDIO_OPERATIONS = {
  CreateTrainingJob: studio('POST', '/trainingjobs', false),
  GetTrainingJob: studio('GET', '/trainingjobs/{TrainingJobId}'),
  ListTrainingJobs: studio('GET', '/trainingjobs'),
  StopTrainingJob: studio('PUT', '/trainingjobs/{TrainingJobId}/stop'),
  DeleteTrainingJob: studio('DELETE', '/trainingjobs/{TrainingJobId}'),
  ListTrainingJobLogs: studio('GET', '/trainingjobs/{TrainingJobId}/logs'),
  ListTrainingJobMetrics: studio('GET', '/trainingjobs/{TrainingJobId}/metrics'),
  ListTrainingJobInstanceMetrics: studio('GET', '/trainingjobs/{TrainingJobId}/instancemetrics'),
  ListAlgorithms: studio('GET', '/algorithms'),
  GetAlgorithmVersion: studio('GET', '/algorithms/{AlgorithmId}/versions/{AlgorithmVersion}'),
  // The slash at the end belongs to it, and is signed.
  ListQuotas: studio('GET', '/quotas/'),
  GetQuota: studio('GET', '/quotas/{QuotaId}'),
} as const satisfies Record<string, PaiOperation>;

interface TrainingJobPath {
  TrainingJobId: string;
}

/** What the operations of Studio take and give. */
export interface StudioCalls {
  CreateTrainingJob: { path?: undefined; query?: undefined; body: WireCreateTrainingJob; answer: TrainingJobPath };
  GetTrainingJob: { path: TrainingJobPath; query?: undefined; body?: undefined; answer: WireTrainingJob };
  ListTrainingJobs: {
    path?: undefined;
    query: WireListTrainingJobs;
    body?: undefined;
    answer: { TrainingJobs: WireTrainingJob[]; TotalCount: number };
  };
  StopTrainingJob: { path: TrainingJobPath; query?: undefined; body?: undefined; answer: { RequestId?: string } };
  DeleteTrainingJob: { path: TrainingJobPath; query?: undefined; body?: undefined; answer: { RequestId?: string } };
  ListTrainingJobLogs: {
    path: TrainingJobPath;
    query: { InstanceId?: string; StartTime?: string; EndTime?: string; PageNumber: number; PageSize: number };
    body?: undefined;
    /** The count is text. */
    answer: { Logs: string[]; TotalCount: string };
  };
  /** What the algorithm's MetricDefinitions find in the log. */
  ListTrainingJobMetrics: {
    path: TrainingJobPath;
    query: {
      Name?: string;
      StartTime?: string;
      EndTime?: string;
      Order: 'ASC' | 'DESC';
      PageNumber: number;
      PageSize: number;
    };
    body?: undefined;
    answer: { Metrics?: { Name: string; Timestamp: string; Value: number }[]; TotalCount: number };
  };
  /** What the instances use; rates are in MB/s. */
  ListTrainingJobInstanceMetrics: {
    path: TrainingJobPath;
    query: { MetricType: string; StartTime?: string; EndTime?: string; TimeStep?: '1h' | '30m' | '5m' | '10s' };
    body?: undefined;
    answer: { InstanceMetrics?: { InstanceId: string; Metrics?: { Time: string; Value: number }[] }[] };
  };
  ListAlgorithms: {
    path?: undefined;
    query: { AlgorithmName: string; AlgorithmProvider?: string; PageNumber: number; PageSize: number };
    body?: undefined;
    answer: { Algorithms: { AlgorithmId: string; AlgorithmName: string }[]; TotalCount: number };
  };
  GetAlgorithmVersion: {
    path: { AlgorithmId: string; AlgorithmVersion: string };
    query?: undefined;
    body?: undefined;
    answer: { AlgorithmSpec: WireAlgorithmSpec };
  };
  ListQuotas: {
    path?: undefined;
    query: { ResourceType: QuotaResourceType; Verbose: boolean; PageNumber: number; PageSize: number };
    body?: undefined;
    answer: { Quotas: WireQuota[]; TotalCount: number };
  };
  GetQuota: { path: { QuotaId: string }; query: { Verbose: boolean }; body?: undefined; answer: WireQuota };
}

/** A label, as Studio and AIWorkSpace write it. */
export interface WireLabel {
  Key: string;
  Value: string;
}

/** A hyper-parameter; the value is text, also of a number. */
export interface WireHyperParameter {
  Name: string;
  Value: string;
}

/** An input: a URI or a data set, never both. */
export interface WireInputChannel {
  Name: string;
  InputUri?: string;
  DatasetId?: string;
}

/** An output: a URI or a data set, never both. */
export interface WireOutputChannel {
  Name: string;
  OutputUri?: string;
  DatasetId?: string;
}

/** Machines of the public pool, or of a quota. */
export type WireComputeResource =
  | { EcsSpec: string; EcsCount: number }
  | { ResourceId: string; InstanceCount: number; InstanceSpec: WireInstanceSpec };

/** One instance from a quota. Every value is text; memory is in GiB, without a unit. */
export interface WireInstanceSpec {
  CPU?: string;
  GPU?: string;
  GPUType?: string;
  Memory?: string;
  SharedMemory?: string;
}

/** The body of CreateTrainingJob. */
export interface WireCreateTrainingJob {
  TrainingJobName: string;
  WorkspaceId: string;
  AlgorithmName?: string;
  AlgorithmProvider?: string;
  AlgorithmVersion?: string;
  /** Instead of the three above. */
  AlgorithmSpec?: WireAlgorithmSpec;
  HyperParameters: WireHyperParameter[];
  InputChannels: WireInputChannel[];
  OutputChannels: WireOutputChannel[];
  ComputeResource: WireComputeResource;
  Scheduler?: { MaxRunningTimeInSeconds: number };
  Labels?: WireLabel[];
  UserVpc?: { VpcId: string; SwitchId: string; SecurityGroupId: string };
  Environments?: Record<string, string>;
  Priority?: number;
}

/** A training job as GetTrainingJob and ListTrainingJobs tell it. */
export interface WireTrainingJob {
  TrainingJobId: string;
  TrainingJobName: string;
  WorkspaceId?: string;
  Status: string;
  ReasonCode?: string;
  ReasonMessage?: string;
  GmtCreateTime: string;
  Duration?: number;
  Instances?: { Name: string; Role?: string; Status?: string }[];
  StatusTransitions?: {
    Status: string;
    StartTime?: string;
    EndTime?: string;
    ReasonCode?: string;
    ReasonMessage?: string;
  }[];
  Labels?: WireLabel[];
  Environments?: Record<string, string>;
  [field: string]: unknown;
}

/** The query of ListTrainingJobs; by default it lists the last seven days. */
export interface WireListTrainingJobs {
  TrainingJobName?: string;
  WorkspaceId?: string;
  Status?: string;
  Labels?: Record<string, string>;
  StartTime?: string;
  SortBy?: 'GmtCreateTime';
  Order?: 'ASC' | 'DESC';
  PageNumber: number;
  PageSize: number;
}

/** A hyper-parameter as an algorithm defines it; every bound is text. */
export interface WireHyperParameterDefinition {
  Name: string;
  Type?: string;
  Required?: boolean;
  DefaultValue?: string;
  Description?: string;
  Range?: {
    Enum?: string[];
    Minimum?: string;
    Maximum?: string;
    ExclusiveMinimum?: boolean;
    ExclusiveMaximum?: boolean;
    MinLength?: number;
    MaxLength?: number;
    Pattern?: string;
  };
}

/** A place for data in an algorithm. */
export interface WireChannel {
  Name: string;
  Required?: boolean;
  SupportedChannelTypes?: string[];
}

/** What an algorithm runs and takes. */
export interface WireAlgorithmSpec {
  Image?: string;
  Command?: string[];
  JobType?: string;
  HyperParameters?: WireHyperParameterDefinition[];
  InputChannels?: WireChannel[];
  OutputChannels?: WireChannel[];
  [field: string]: unknown;
}

/** ECS is what PAI lists when nothing is asked for. */
export type QuotaResourceType = 'ECS' | 'Lingjun' | 'ACS';

/** An amount of resources; every value is text, memory with its unit. */
export interface WireResourceAmount {
  CPU?: string;
  GPU?: string;
  Memory?: string;
  GPUType?: string;
}

/** A quota; its details only with `Verbose`. */
export interface WireQuota {
  QuotaId: string;
  QuotaName?: string;
  ResourceType?: string;
  Status?: string;
  QuotaDetails?: { AllocatableQuota?: WireResourceAmount; AllocatedQuota?: WireResourceAmount };
  QuotaConfig?: { UserVpc?: { VpcId?: string } };
  [field: string]: unknown;
}

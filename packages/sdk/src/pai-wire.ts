import { SERVICE_OPERATIONS, type ServiceCalls } from './service-wire.ts';
import { STUDIO_OPERATIONS, type StudioCalls } from './studio-wire.ts';
import { WORKSPACE_OPERATIONS, type WorkspaceCalls } from './workspace-wire.ts';

/**
 * PAI's products, as far as this project calls them: DLC runs jobs, EAS serves models, PAI Studio runs QuickStart's training
 * jobs and keeps quotas, AIWorkSpace keeps data sets and models.
 */
export type PaiProduct = 'dlc' | 'eas' | 'paistudio' | 'aiworkspace';

/** One operation of a product: everything that a signed request needs besides its arguments. */
export interface PaiOperation {
  readonly product: PaiProduct;
  readonly version: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** `{Name}` is replaced by the percent-encoded path argument of that name. */
  readonly path: string;
  /** True when doing it twice is doing it once. Creates have no client token, so they are not. */
  readonly isIdempotent: boolean;
}

type Method = PaiOperation['method'];
type Repeat = 'repeatable' | 'once';

const dlc = (method: Method, path: string, repeat: Repeat = 'repeatable'): PaiOperation => ({
  product: 'dlc',
  version: '2020-12-03',
  method,
  path: `/api/v1${path}`,
  isIdempotent: repeat === 'repeatable',
});

/** Every operation in use, one line each (aliyun/alibabacloud-typescript-sdk@06a71f93, pai-dlc-20201203 and eas-20210701). */
export const PAI_OPERATIONS = {
  CreateJob: dlc('POST', '/jobs', 'once'),
  GetJob: dlc('GET', '/jobs/{JobId}'),
  ListJobs: dlc('GET', '/jobs'),
  StopJob: dlc('POST', '/jobs/{JobId}/stop'),
  DeleteJob: dlc('DELETE', '/jobs/{JobId}'),
  GetPodLogs: dlc('GET', '/jobs/{JobId}/pods/{PodId}/logs'),
  GetPodEvents: dlc('GET', '/jobs/{JobId}/pods/{PodId}/events'),
  GetJobMetrics: dlc('GET', '/jobs/{JobId}/metrics'),
  ListEcsSpecs: dlc('GET', '/ecsspecs'),
  ...SERVICE_OPERATIONS,
  ...STUDIO_OPERATIONS,
  ...WORKSPACE_OPERATIONS,
} as const satisfies Record<string, PaiOperation>;

/** The name of an operation, as the header x-acs-action carries it. */
export type PaiAction = keyof typeof PAI_OPERATIONS;

/** What each operation takes and gives, in PAI's own names. Fields that are not listed here survive. */
export interface PaiCalls extends ServiceCalls, StudioCalls, WorkspaceCalls {
  CreateJob: { path?: undefined; query?: undefined; body: WireCreateJob; answer: { JobId: string; RequestId: string } };
  GetJob: { path: { JobId: string }; query?: { NeedDetail?: boolean }; body?: undefined; answer: WireJob };
  ListJobs: { path?: undefined; query: WireListJobs; body?: undefined; answer: WireJobPage };
  StopJob: { path: { JobId: string }; query?: undefined; body?: undefined; answer: { JobId: string } };
  DeleteJob: { path: { JobId: string }; query?: undefined; body?: undefined; answer: { JobId: string } };
  GetPodLogs: {
    path: { JobId: string; PodId: string };
    query: { PodUid?: string; StartTime?: string; EndTime?: string; MaxLines?: number };
    body?: undefined;
    answer: { Logs: string[]; JobId: string; PodId: string; PodUid?: string };
  };
  GetPodEvents: {
    path: { JobId: string; PodId: string };
    query: { PodUid?: string; StartTime?: string; EndTime?: string; MaxEventsNum?: number };
    body?: undefined;
    answer: { Events?: string[]; JobId: string; PodId: string; PodUid?: string };
  };
  GetJobMetrics: {
    path: { JobId: string };
    query: { MetricType: string; StartTime?: string; EndTime?: string; TimeStep?: string; Token?: string };
    body?: undefined;
    answer: { PodMetrics?: { PodId: string; Metrics?: { Time: number; Value: number }[] }[] };
  };
  ListEcsSpecs: {
    path?: undefined;
    query: {
      AcceleratorType?: 'CPU' | 'GPU';
      InstanceTypes?: string;
      ResourceType?: 'ECS' | 'Lingjun';
      PageNumber: number;
      PageSize: number;
    };
    body?: undefined;
    answer: { EcsSpecs: WireEcsSpec[]; TotalCount: number };
  };
}

/** A folder to mount: a dataset of the workspace or a URI, never both. */
export interface WireDataSource {
  DataSourceId?: string;
  Uri?: string;
  MountPath: string;
}

/** Resources of one pod from a quota. Every value is a string, also the counts. */
export interface WireResourceConfig {
  CPU?: string;
  Memory?: string;
  GPU?: string;
  GPUType?: string;
  SharedMemory?: string;
}

/** A group of equal pods. */
export interface WireJobSpec {
  Type: 'Master' | 'Worker';
  Image: string;
  PodCount: number;
  /** Public pool; never together with `ResourceConfig`. */
  EcsSpec?: string;
  /** Quota; never together with `EcsSpec`. */
  ResourceConfig?: WireResourceConfig;
  RestartPolicy?: 'Always' | 'Never' | 'OnFailure' | 'ExitCode';
}

/** The body of CreateJob. */
export interface WireCreateJob {
  DisplayName: string;
  JobType: 'PyTorchJob';
  JobSpecs: WireJobSpec[];
  UserCommand: string;
  WorkspaceId?: string;
  ResourceId?: string;
  Envs?: Record<string, string>;
  DataSources?: WireDataSource[];
  UserVpc?: { VpcId: string; SwitchId: string; SecurityGroupId: string };
  Priority?: number;
  JobMaxRunningTimeMinutes?: number;
  Settings?: { Tags?: Record<string, string> };
}

/** A pod as GetJob tells it. */
export interface WirePod {
  PodId: string;
  PodUid?: string;
  Type?: string;
  Status?: string;
  Ip?: string;
  GmtStartTime?: string;
  GmtFinishTime?: string;
  HistoryPods?: WirePod[];
  [field: string]: unknown;
}

/** One step of a job’s history. */
export interface WireStatusTransition {
  Status: string;
  StartTime?: string;
  EndTime?: string;
  ReasonCode?: string;
  ReasonMessage?: string;
  [field: string]: unknown;
}

/** A job as GetJob and ListJobs tell it; an unset time may be an empty text. */
export interface WireJob {
  JobId: string;
  DisplayName: string;
  Status: string;
  SubStatus?: string;
  ReasonCode?: string;
  ReasonMessage?: string;
  WorkspaceId?: string;
  GmtCreateTime: string;
  GmtRunningTime?: string;
  GmtFinishTime?: string;
  Duration?: number;
  /** Such as "0/10". */
  RestartTimes?: string;
  Pods?: WirePod[];
  StatusHistory?: WireStatusTransition[];
  [field: string]: unknown;
}

/** The query of ListJobs. */
export interface WireListJobs {
  PageNumber: number;
  PageSize: number;
  /** Absent means seven days ago: older jobs are then not listed at all. */
  StartTime?: string;
  SortBy?: 'GmtCreateTime';
  Order?: 'asc' | 'desc';
  DisplayName?: string;
  Status?: string;
  WorkspaceId?: string;
  Tags?: Record<string, string>;
}

/** One page of ListJobs. */
export interface WireJobPage {
  Jobs: WireJob[];
  TotalCount: number;
  RequestId: string;
}

/** A machine type of the public pool, with memory in GiB. PAI tells no price. */
export interface WireEcsSpec {
  InstanceType: string;
  Cpu?: number;
  Memory?: number;
  Gpu?: number;
  GpuType?: string;
  GpuMemory?: number;
  ResourceType?: string;
  IsAvailable?: boolean;
  [field: string]: unknown;
}

import type { PaiOperation } from './pai-wire.ts';

/* EAS 2021-07-01: services, in PAI's own names. In EAS paths the cluster id is the region id. */

const eas = (method: PaiOperation['method'], path: string, isIdempotent = true): PaiOperation => ({
  product: 'eas',
  version: '2021-07-01',
  method,
  path: `/api/v2${path}`,
  isIdempotent,
});
const SERVICE = '/services/{ClusterId}/{ServiceName}';

/** Every operation of EAS in use (aliyun/alibabacloud-typescript-sdk@06a71f93, eas-20210701). */
export const SERVICE_OPERATIONS = {
  CreateService: eas('POST', '/services', false),
  DescribeService: eas('GET', SERVICE),
  ListServices: eas('GET', '/services'),
  UpdateService: eas('PUT', SERVICE),
  DeleteService: eas('DELETE', SERVICE),
  StartService: eas('PUT', `${SERVICE}/start`),
  StopService: eas('PUT', `${SERVICE}/stop`),
  RestartService: eas('PUT', `${SERVICE}/restart`),
  ScaleService: eas('PUT', `${SERVICE}/scale`),
  ReleaseService: eas('PUT', `${SERVICE}/release`),
  UpdateServiceVersion: eas('PUT', `${SERVICE}/version`),
  DescribeServiceLog: eas('GET', `${SERVICE}/logs`),
  DescribeServiceEvent: eas('GET', `${SERVICE}/events`),
  ListServiceInstances: eas('GET', `${SERVICE}/instances`),
  DescribeServiceEndpoints: eas('GET', `${SERVICE}/endpoints`),
  // A service has one scaler of a kind, so that a second creation makes no second one.
  CreateServiceAutoScaler: eas('POST', `${SERVICE}/autoscaler`),
  UpdateServiceAutoScaler: eas('PUT', `${SERVICE}/autoscaler`),
  DescribeServiceAutoScaler: eas('GET', `${SERVICE}/autoscaler`),
  DeleteServiceAutoScaler: eas('DELETE', `${SERVICE}/autoscaler`),
  CreateServiceCronScaler: eas('POST', `${SERVICE}/cronscaler`),
  UpdateServiceCronScaler: eas('PUT', `${SERVICE}/cronscaler`),
  DescribeServiceCronScaler: eas('GET', `${SERVICE}/cronscaler`),
  DeleteServiceCronScaler: eas('DELETE', `${SERVICE}/cronscaler`),
  DescribeMachineSpec: eas('GET', '/public/instance_types'),
  DescribeGroup: eas('GET', '/groups/{ClusterId}/{GroupName}'),
  UpdateGroup: eas('PUT', '/groups/{ClusterId}/{GroupName}'),
} as const satisfies Record<string, PaiOperation>;

interface ServicePath {
  ClusterId: string;
  ServiceName: string;
}

interface GroupPath {
  ClusterId: string;
  GroupName: string;
}

/** An operation on one service. */
interface OnService<Query, Body, Answer> {
  path: ServicePath;
  query?: Query;
  body: Body;
  answer: Answer;
}
interface AskService<Query, Answer> {
  path: ServicePath;
  query?: Query;
  body?: undefined;
  answer: Answer;
}
interface Done {
  Message?: string;
}

/** What the operations of EAS take and give. */
export interface ServiceCalls {
  CreateService: {
    path?: undefined;
    query?: { WorkspaceId?: string; Labels?: Record<string, string> };
    /** The service JSON itself, in EAS's lower-case names. */
    body: Record<string, unknown>;
    answer: { ServiceId: string; ServiceName: string; Region: string; Status: string };
  };
  DescribeService: AskService<undefined, WireService>;
  ListServices: {
    path?: undefined;
    query: { Filter?: string; WorkspaceId?: string; PageNumber: number; PageSize: number };
    body?: undefined;
    answer: { Services: WireService[]; PageNumber: number; PageSize: number; TotalCount: number };
  };
  UpdateService: OnService<{ UpdateType: 'merge' | 'replace' }, Record<string, unknown>, Done>;
  DeleteService: AskService<undefined, Done>;
  StartService: AskService<undefined, Done>;
  StopService: AskService<undefined, Done>;
  RestartService: AskService<undefined, Done>;
  ScaleService: OnService<undefined, { Instance: number }, Done>;
  ReleaseService: OnService<undefined, { Weight: number; TrafficState: TrafficState }, Done>;
  UpdateServiceVersion: OnService<undefined, { Version: number }, Done>;
  /** Pages are counted by PageNum here, by PageNumber in lists. */
  DescribeServiceLog: AskService<
    {
      /** `YYYY-MM-DD hh:mm:ss`, UTC. */
      StartTime?: string;
      EndTime?: string;
      Keyword?: string;
      InstanceName?: string;
      PageNum: number;
      PageSize: number;
    },
    { Logs?: string[]; PageNum: number; TotalCount: number; TotalPageNum: number }
  >;
  DescribeServiceEvent: AskService<
    {
      StartTime?: string;
      EndTime?: string;
      EventType?: 'Normal' | 'Warning';
      PageNum: number;
      PageSize: number;
    },
    { Events?: WireServiceEvent[]; TotalCount: number; TotalPageNum: number }
  >;
  ListServiceInstances: AskService<
    { PageNumber: number; PageSize: number },
    { Instances?: WireServiceInstance[]; TotalCount: number }
  >;
  DescribeServiceEndpoints: AskService<
    undefined,
    { AccessToken?: string; Endpoints?: { EndpointType: string; InternetEndpoints?: string[] }[] }
  >;
  CreateServiceAutoScaler: OnService<undefined, WireAutoScaler, Done>;
  UpdateServiceAutoScaler: OnService<undefined, WireAutoScaler, Done>;
  DescribeServiceAutoScaler: AskService<undefined, Record<string, unknown>>;
  DeleteServiceAutoScaler: AskService<undefined, Done>;
  CreateServiceCronScaler: OnService<undefined, WireCronScaler, Done>;
  UpdateServiceCronScaler: OnService<undefined, WireCronScaler, Done>;
  DescribeServiceCronScaler: AskService<undefined, Record<string, unknown>>;
  DeleteServiceCronScaler: AskService<undefined, Done>;
  DescribeMachineSpec: {
    path?: undefined;
    /** Several types are joined with commas. */
    query: { InstanceTypes: string };
    body?: undefined;
    answer: { InstanceMetas?: WireMachine[] };
  };
  DescribeGroup: { path: GroupPath; query?: undefined; body?: undefined; answer: WireServiceGroup };
  UpdateGroup: { path: GroupPath; query?: undefined; body: { TrafficMode: 'auto' | 'customized' }; answer: Done };
}

/** `grouping` takes its share of the group's traffic, `standalone` none of it: only calls of its own address. */
export type TrafficState = 'standalone' | 'grouping';

/** An instance type; memory in GiB, that of GPUs of one of them. */
export interface WireMachine {
  InstanceType: string;
  CPU?: number;
  Memory?: number;
  GPU?: string;
  GPUAmount?: number;
  GPUMemory?: number;
  StockStatus?: string;
  IsAvailable?: boolean;
  [field: string]: unknown;
}

/** A group of services behind one address. */
export interface WireServiceGroup {
  Name: string;
  InternetEndpoint?: string;
  IntranetEndpoint?: string;
  AccessToken?: string;
  /** By `auto` each service gets traffic by its instances, and its weight counts for nothing; by `customized` by its weight. */
  TrafficMode?: string;
  [field: string]: unknown;
}

/** The body of an auto scaler, in EAS's lower-case names. */
export interface WireAutoScaler {
  min: number;
  max: number;
  scaleStrategies: { metricName: string; threshold: number; service?: string }[];
  behavior?: {
    onZero?: { scaleDownGracePeriodSeconds?: number; scaleUpActivationReplicas?: number };
    scaleDown?: { stabilizationWindowSeconds?: number };
    scaleUp?: { stabilizationWindowSeconds?: number };
  };
}

/** The body of a cron scaler; EAS has both spellings in it. */
export interface WireCronScaler {
  ScaleJobs: { name: string; schedule: string; targetSize: number; timeZone?: string }[];
  ExcludeDates?: string[];
}

/** A service as DescribeService and ListServices tell it. */
export interface WireService {
  ServiceName: string;
  ServiceId?: string;
  Status: string;
  Reason?: string;
  Message?: string;
  AccessToken?: string;
  InternetEndpoint?: string;
  IntranetEndpoint?: string;
  RunningInstance?: number;
  TotalInstance?: number;
  CurrentVersion?: number;
  LatestVersion?: number;
  /** The group whose address the service shares. */
  ServiceGroup?: string;
  Weight?: number;
  TrafficState?: string;
  Image?: string;
  /** The service JSON, as text. */
  ServiceConfig?: string;
  Labels?: { LabelKey: string; LabelValue: string }[];
  CreateTime?: string;
  UpdateTime?: string;
  WorkspaceId?: string;
  [field: string]: unknown;
}

/** What happened to a service or an instance. */
export interface WireServiceEvent {
  /** JSON text, or plain text. */
  Message?: string;
  Reason?: string;
  Resource?: string;
  Time?: string;
  Type?: string;
}

/** A container of a service. */
export interface WireServiceInstance {
  InstanceName: string;
  Status?: string;
  Reason?: string;
  ReadyProcesses?: number;
  TotalProcesses?: number;
  RestartCount?: number;
  InstanceType?: string;
  HostIP?: string;
  StartTime?: string;
  [field: string]: unknown;
}

/**
 * What pai-api.md says of each operation: method, path, spelling of the query, body. Written from that document; the code
 * under test is asked for nothing but the name of the operation.
 */
export interface WireExpectation {
  readonly action: string;
  readonly version: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly request: string;
  readonly body?: unknown;
}

const DLC = '2020-12-03';
const EAS = '2021-07-01';
const STUDIO = '2022-01-12';
const WORKSPACE = '2021-02-04';

const row = (
  version: string,
  action: string,
  input: Readonly<Record<string, unknown>>,
  request: string,
  body?: unknown,
): WireExpectation => ({ action, version, input, request, ...(body === undefined ? {} : { body }) });

const job = { DisplayName: 'a', JobType: 'PyTorchJob', JobSpecs: [], UserCommand: 'true' };
const service = { metadata: { name: 'svc', instance: 1 } };
const training = { TrainingJobName: 'a', WorkspaceId: '268', HyperParameters: [{ Name: 'batch_size', Value: '1' }] };
const inService = { path: { ClusterId: 'cn-hangzhou', ServiceName: 'svc' } };

export const WIRE_REQUESTS: readonly WireExpectation[] = [
  // §1 DLC, base /api/v1
  row(DLC, 'CreateJob', { body: job }, 'POST /api/v1/jobs', job),
  row(DLC, 'GetJob', { path: { JobId: 'dlc1' }, query: { NeedDetail: true } }, 'GET /api/v1/jobs/dlc1?NeedDetail=true'),
  row(
    DLC,
    'ListJobs',
    { query: { Tags: { k: 'v' }, StartTime: '2026-11-01T00:00:00Z', PageNumber: 1, PageSize: 50, Order: 'desc' } },
    'GET /api/v1/jobs?Order=desc&PageNumber=1&PageSize=50&StartTime=2026-11-01T00:00:00Z&Tags={"k":"v"}',
  ),
  row(DLC, 'StopJob', { path: { JobId: 'dlc1' } }, 'POST /api/v1/jobs/dlc1/stop'),
  row(DLC, 'DeleteJob', { path: { JobId: 'dlc1' } }, 'DELETE /api/v1/jobs/dlc1'),
  row(DLC, 'UpdateJob', { path: { JobId: 'dlc1' }, body: { Priority: 9 } }, 'PUT /api/v1/jobs/dlc1', { Priority: 9 }),
  row(
    DLC,
    'GetPodLogs',
    { path: { JobId: 'dlc1', PodId: 'dlc1-worker-0' }, query: { PodUid: 'u', MaxLines: 2000 } },
    'GET /api/v1/jobs/dlc1/pods/dlc1-worker-0/logs?MaxLines=2000&PodUid=u',
  ),
  row(
    DLC,
    'GetPodEvents',
    { path: { JobId: 'dlc1', PodId: 'p' }, query: { MaxEventsNum: 10 } },
    'GET /api/v1/jobs/dlc1/pods/p/events?MaxEventsNum=10',
  ),
  row(
    DLC,
    'GetJobEvents',
    { path: { JobId: 'dlc1' }, query: { MaxEventsNum: 10 } },
    'GET /api/v1/jobs/dlc1/events?MaxEventsNum=10',
  ),
  row(
    DLC,
    'GetJobMetrics',
    { path: { JobId: 'dlc1' }, query: { MetricType: 'GpuCoreUsage', TimeStep: '5m' } },
    'GET /api/v1/jobs/dlc1/metrics?MetricType=GpuCoreUsage&TimeStep=5m',
  ),
  row(
    DLC,
    'ListEcsSpecs',
    {
      query: { AcceleratorType: 'GPU', InstanceTypes: 'ecs.a,ecs.b', ResourceType: 'ECS', PageNumber: 1, PageSize: 9 },
    },
    'GET /api/v1/ecsspecs?AcceleratorType=GPU&InstanceTypes=ecs.a,ecs.b&PageNumber=1&PageSize=9&ResourceType=ECS',
  ),
  // §2 EAS, base /api/v2; the cluster in a path is the region
  row(
    EAS,
    'CreateService',
    { query: { WorkspaceId: '268', Labels: { k: 'v' } }, body: service },
    'POST /api/v2/services?Labels={"k":"v"}&WorkspaceId=268',
    service,
  ),
  row(EAS, 'DescribeService', inService, 'GET /api/v2/services/cn-hangzhou/svc'),
  row(
    EAS,
    'ListServices',
    { query: { Filter: 'sv', PageNumber: 1, PageSize: 100 } },
    'GET /api/v2/services?Filter=sv&PageNumber=1&PageSize=100',
  ),
  row(
    EAS,
    'UpdateService',
    { ...inService, query: { UpdateType: 'merge' }, body: service },
    'PUT /api/v2/services/cn-hangzhou/svc?UpdateType=merge',
    service,
  ),
  row(EAS, 'DeleteService', inService, 'DELETE /api/v2/services/cn-hangzhou/svc'),
  row(EAS, 'StartService', inService, 'PUT /api/v2/services/cn-hangzhou/svc/start'),
  row(EAS, 'StopService', inService, 'PUT /api/v2/services/cn-hangzhou/svc/stop'),
  row(EAS, 'RestartService', inService, 'PUT /api/v2/services/cn-hangzhou/svc/restart'),
  row(EAS, 'ScaleService', { ...inService, body: { Instance: 2 } }, 'PUT /api/v2/services/cn-hangzhou/svc/scale', {
    Instance: 2,
  }),
  row(
    EAS,
    'ReleaseService',
    { ...inService, body: { Weight: 10, TrafficState: 'grouping' } },
    'PUT /api/v2/services/cn-hangzhou/svc/release',
    { Weight: 10, TrafficState: 'grouping' },
  ),
  row(
    EAS,
    'UpdateServiceVersion',
    { ...inService, body: { Version: 1 } },
    'PUT /api/v2/services/cn-hangzhou/svc/version',
    {
      Version: 1,
    },
  ),
  row(
    EAS,
    'DescribeServiceLog',
    { ...inService, query: { StartTime: '2026-11-01 00:00:00', PageNum: 1, PageSize: 500 } },
    'GET /api/v2/services/cn-hangzhou/svc/logs?PageNum=1&PageSize=500&StartTime=2026-11-01 00:00:00',
  ),
  row(
    EAS,
    'DescribeServiceEvent',
    { ...inService, query: { EventType: 'Warning', PageNum: 1, PageSize: 100 } },
    'GET /api/v2/services/cn-hangzhou/svc/events?EventType=Warning&PageNum=1&PageSize=100',
  ),
  row(
    EAS,
    'ListServiceInstances',
    { ...inService, query: { PageNumber: 1, PageSize: 100 } },
    'GET /api/v2/services/cn-hangzhou/svc/instances?PageNumber=1&PageSize=100',
  ),
  row(EAS, 'DescribeServiceEndpoints', inService, 'GET /api/v2/services/cn-hangzhou/svc/endpoints'),
  row(
    EAS,
    'CreateServiceAutoScaler',
    { ...inService, body: { min: 1, max: 4, scaleStrategies: [{ metricName: 'qps', threshold: 10 }] } },
    'POST /api/v2/services/cn-hangzhou/svc/autoscaler',
    { min: 1, max: 4, scaleStrategies: [{ metricName: 'qps', threshold: 10 }] },
  ),
  row(
    EAS,
    'UpdateServiceAutoScaler',
    { ...inService, body: { min: 0, max: 2 } },
    'PUT /api/v2/services/cn-hangzhou/svc/autoscaler',
    { min: 0, max: 2 },
  ),
  row(EAS, 'DescribeServiceAutoScaler', inService, 'GET /api/v2/services/cn-hangzhou/svc/autoscaler'),
  row(EAS, 'DeleteServiceAutoScaler', inService, 'DELETE /api/v2/services/cn-hangzhou/svc/autoscaler'),
  ...(['POST', 'PUT'] as const).map((method) =>
    row(
      EAS,
      method === 'POST' ? 'CreateServiceCronScaler' : 'UpdateServiceCronScaler',
      { ...inService, body: { ScaleJobs: [{ name: 'a', schedule: '0 18 * * * *', targetSize: 1 }], ExcludeDates: [] } },
      `${method} /api/v2/services/cn-hangzhou/svc/cronscaler`,
      { ScaleJobs: [{ name: 'a', schedule: '0 18 * * * *', targetSize: 1 }], ExcludeDates: [] },
    ),
  ),
  row(EAS, 'DescribeServiceCronScaler', inService, 'GET /api/v2/services/cn-hangzhou/svc/cronscaler'),
  row(EAS, 'DeleteServiceCronScaler', inService, 'DELETE /api/v2/services/cn-hangzhou/svc/cronscaler'),
  row(
    EAS,
    'DescribeMachineSpec',
    { query: { InstanceTypes: 'ecs.a,ecs.b' } },
    'GET /api/v2/public/instance_types?InstanceTypes=ecs.a,ecs.b',
  ),
  // Not in pai-api.md: the API reference of EAS, UpdateGroup and DescribeGroup
  row(
    EAS,
    'DescribeGroup',
    { path: { ClusterId: 'cn-hangzhou', GroupName: 'grp' } },
    'GET /api/v2/groups/cn-hangzhou/grp',
  ),
  row(
    EAS,
    'UpdateGroup',
    { path: { ClusterId: 'cn-hangzhou', GroupName: 'grp' }, body: { TrafficMode: 'customized' } },
    'PUT /api/v2/groups/cn-hangzhou/grp',
    { TrafficMode: 'customized' },
  ),
  // §3 PAI Studio, base /api/v1
  row(STUDIO, 'CreateTrainingJob', { body: training }, 'POST /api/v1/trainingjobs', training),
  row(STUDIO, 'GetTrainingJob', { path: { TrainingJobId: 'train1' } }, 'GET /api/v1/trainingjobs/train1'),
  row(
    STUDIO,
    'ListTrainingJobs',
    { query: { Labels: { k: 'v' }, Order: 'DESC', SortBy: 'GmtCreateTime', PageNumber: 1, PageSize: 50 } },
    'GET /api/v1/trainingjobs?Labels={"k":"v"}&Order=DESC&PageNumber=1&PageSize=50&SortBy=GmtCreateTime',
  ),
  row(STUDIO, 'StopTrainingJob', { path: { TrainingJobId: 'train1' } }, 'PUT /api/v1/trainingjobs/train1/stop'),
  row(STUDIO, 'DeleteTrainingJob', { path: { TrainingJobId: 'train1' } }, 'DELETE /api/v1/trainingjobs/train1'),
  row(
    STUDIO,
    'ListTrainingJobLogs',
    { path: { TrainingJobId: 'train1' }, query: { InstanceId: 'train1-master-0', PageNumber: 2, PageSize: 100 } },
    'GET /api/v1/trainingjobs/train1/logs?InstanceId=train1-master-0&PageNumber=2&PageSize=100',
  ),
  row(
    STUDIO,
    'ListTrainingJobMetrics',
    { path: { TrainingJobId: 'train1' }, query: { Name: 'lm_loss', Order: 'ASC', PageNumber: 1, PageSize: 100 } },
    'GET /api/v1/trainingjobs/train1/metrics?Name=lm_loss&Order=ASC&PageNumber=1&PageSize=100',
  ),
  // Named in pai-api.md without its path: paistudio-20220112, client.ts
  row(
    STUDIO,
    'ListTrainingJobInstanceMetrics',
    { path: { TrainingJobId: 'train1' }, query: { MetricType: 'GpuCoreUsage', TimeStep: '10s' } },
    'GET /api/v1/trainingjobs/train1/instancemetrics?MetricType=GpuCoreUsage&TimeStep=10s',
  ),
  row(
    STUDIO,
    'ListAlgorithms',
    { query: { AlgorithmName: 'x', AlgorithmProvider: 'pai', PageNumber: 1, PageSize: 50 } },
    'GET /api/v1/algorithms?AlgorithmName=x&AlgorithmProvider=pai&PageNumber=1&PageSize=50',
  ),
  row(
    STUDIO,
    'GetAlgorithmVersion',
    { path: { AlgorithmId: 'algo-1', AlgorithmVersion: 'v0.1.0' } },
    'GET /api/v1/algorithms/algo-1/versions/v0.1.0',
  ),
  row(
    STUDIO,
    'ListQuotas',
    { query: { ResourceType: 'Lingjun', Verbose: true, PageNumber: 1, PageSize: 50 } },
    'GET /api/v1/quotas/?PageNumber=1&PageSize=50&ResourceType=Lingjun&Verbose=true', // with the slash at its end
  ),
  row(
    STUDIO,
    'GetQuota',
    { path: { QuotaId: 'quota1' }, query: { Verbose: true } },
    'GET /api/v1/quotas/quota1?Verbose=true',
  ),
  // §3 AIWorkSpace, base /api/v1
  row(
    WORKSPACE,
    'ListWorkspaces',
    { query: { Option: 'GetWorkspaces', PageNumber: 1, PageSize: 50 } },
    'GET /api/v1/workspaces?Option=GetWorkspaces&PageNumber=1&PageSize=50',
  ),
  row(WORKSPACE, 'GetWorkspace', { path: { WorkspaceId: '268' } }, 'GET /api/v1/workspaces/268'),
  row(WORKSPACE, 'CreateDataset', { body: { Name: 'd', Property: 'DIRECTORY' } }, 'POST /api/v1/datasets', {
    Name: 'd',
    Property: 'DIRECTORY',
  }),
  row(
    WORKSPACE,
    'ListDatasets',
    { query: { WorkspaceId: '268', Name: 'd', Order: 'DESC', PageNumber: 1, PageSize: 50 } },
    'GET /api/v1/datasets?Name=d&Order=DESC&PageNumber=1&PageSize=50&WorkspaceId=268',
  ),
  row(WORKSPACE, 'GetDataset', { path: { DatasetId: 'd-1' } }, 'GET /api/v1/datasets/d-1'),
  row(WORKSPACE, 'DeleteDataset', { path: { DatasetId: 'd-1' } }, 'DELETE /api/v1/datasets/d-1'),
  row(WORKSPACE, 'CreateModel', { body: { ModelName: 'm' } }, 'POST /api/v1/models', { ModelName: 'm' }),
  row(
    WORKSPACE,
    'ListModels',
    { query: { Provider: 'pai', ModelName: '"a b"', PageNumber: 1, PageSize: 10 } },
    'GET /api/v1/models?ModelName="a b"&PageNumber=1&PageSize=10&Provider=pai',
  ),
  row(
    WORKSPACE,
    'CreateModelVersion',
    { path: { ModelId: 'model-1' }, body: { Uri: 'oss://b.e/x/', SourceType: 'Custom' } },
    'POST /api/v1/models/model-1/versions',
    { Uri: 'oss://b.e/x/', SourceType: 'Custom' },
  ),
  row(
    WORKSPACE,
    'ListModelVersions',
    { path: { ModelId: 'model-1' }, query: { Order: 'DESC', PageNumber: 1, PageSize: 50 } },
    'GET /api/v1/models/model-1/versions?Order=DESC&PageNumber=1&PageSize=50',
  ),
];

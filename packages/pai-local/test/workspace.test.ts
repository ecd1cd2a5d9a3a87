import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Call, caller, openSandbox, type Sandbox, until } from './client.ts';

let sandbox: Sandbox;
let url: string;
let call: Call;
beforeEach(async () => {
  sandbox = await openSandbox();
  ({ url } = await sandbox.start());
  call = caller(url, '2021-02-04');
});
afterEach(() => sandbox.close());

it('has one workspace, the default', async () => {
  const { body } = await call('ListWorkspaces', 'GET', '/api/v1/workspaces', { query: { Option: 'GetWorkspaces' } });
  expect(body).toMatchObject({ TotalCount: 1, Workspaces: [{ IsDefault: true, Status: 'ENABLED' }] });
  const [{ WorkspaceId: id }] = body.Workspaces;
  expect((await call('GetWorkspace', 'GET', `/api/v1/workspaces/${id}`)).body.WorkspaceId).toBe(id);
  expect((await call('GetDefaultWorkspace', 'GET', '/api/v1/defaultWorkspaces')).body.WorkspaceId).toBe(id);
  expect(await call('GetWorkspace', 'GET', '/api/v1/workspaces/7')).toMatchObject({ status: 404 });
  expect((await caller(url, '2020-12-03')('ListWorkspaces', 'GET', '/api/v1/workspaces')).status).toBe(404);
});

describe('data sets', () => {
  const DATASETS = '/api/v1/datasets';
  const nas = (Name: string, path = Name) => ({
    ...{ Name, Property: 'DIRECTORY', DataSourceType: 'NAS', Uri: `nas://fs1.cn-hangzhou/${path}/` },
  });
  const create = async (body: object) => (await call('CreateDataset', 'POST', DATASETS, { body })).body;

  it('are kept, listed by page, and mounted by their id in a DLC job', async () => {
    await mkdir(join(sandbox.directory, 'images/shell/bin'), { recursive: true });
    await mkdir(join(sandbox.directory, 'nas/fs1/corpus'), { recursive: true });
    await writeFile(join(sandbox.directory, 'nas/fs1/corpus/a.txt'), 'from the data set\n');
    const { DatasetId: id } = await create({ ...nas('corpus'), Labels: [{ Key: 'model', Value: 'qwen2' }] });
    for (let index = 0; index < 11; index++) await create(nas(`other-${index}`));
    const list = async (query: Record<string, string>) => (await call('ListDatasets', 'GET', DATASETS, { query })).body;
    expect(await list({})).toMatchObject({ TotalCount: 12, Datasets: { length: 10 } });
    expect((await list({ PageNumber: '2' })).Datasets).toHaveLength(2);
    expect((await list({ Name: 'CORP', DataSourceTypes: 'OSS,NAS', Label: 'qwen2' })).Datasets).toMatchObject([
      { DatasetId: id, Uri: 'nas://fs1.cn-hangzhou/corpus/', GmtCreateTime: expect.stringMatching(/\.\d{3}Z$/) },
    ]);
    expect((await list({ Order: 'DESC', PageSize: '1' })).Datasets[0].Name).toBe('other-10');

    const dlc = caller(url, '2020-12-03');
    const job = await dlc('CreateJob', 'POST', '/api/v1/jobs', {
      body: {
        ...{ DisplayName: 'x', JobType: 'PyTorchJob', UserCommand: 'cat /mnt/data/a.txt' },
        JobSpecs: [{ Type: 'Worker', Image: 'shell', PodCount: 1, EcsSpec: 'ecs.a' }],
        DataSources: [{ DataSourceId: id, MountPath: '/mnt/data' }],
      },
    });
    const path = `/api/v1/jobs/${job.body.JobId}`;
    await until(
      async () => (await dlc('GetJob', 'GET', path)).body.Status,
      (status) => status === 'Succeeded',
    );
    const pod = `${job.body.JobId}-worker-0`;
    expect((await dlc('GetPodLogs', 'GET', `${path}/pods/${pod}/logs`)).body.Logs).toEqual(['from the data set']);

    expect((await call('DeleteDataset', 'DELETE', `${DATASETS}/${id}`)).status).toBe(200);
    expect((await call('GetDataset', 'GET', `${DATASETS}/${id}`)).body.Code).toBe('DatasetNotFound');
    expect((await dlc('ListJobs', 'GET', '/api/v1/jobs')).body.TotalCount).toBe(1);
  });

  it.each([
    ['no URI', { ...nas('a'), Uri: undefined }, 'MissingParameter'],
    ['an OSS URI for NAS', { ...nas('a'), Uri: 'oss://b.x/y/' }, 'InvalidParameter'],
    ['another kind of property', { ...nas('a'), Property: 'TABLE' }, 'InvalidParameter'],
    ['a bad name', nas('a b'), 'InvalidParameter'],
    ['options that are no JSON', { ...nas('a'), Options: '{' }, 'InvalidParameter'],
  ])('refuse %s', async (_, body, code) => {
    expect((await create(body)).Code).toBe(code);
  });

  it('have names of their own', async () => {
    await create(nas('a'));
    expect((await create(nas('a', 'b'))).Code).toBe('DatasetNameDuplicated');
  });
});

describe('models', () => {
  const MODELS = '/api/v1/models';

  it('number their versions, and keep labels and specs', async () => {
    const { body: model } = await call('CreateModel', 'POST', MODELS, { body: { ModelName: 'law', Domain: 'nlp' } });
    const versions = `${MODELS}/${model.ModelId}/versions`;
    const add = (body: object) => call('CreateModelVersion', 'POST', versions, { body });
    const Uri = 'oss://bucket.oss-cn-hangzhou.aliyuncs.com/law/';
    const Labels = [{ Key: 'iteration', Value: '1000' }];
    expect((await add({ Uri, Labels, InferenceSpec: { containers: [] } })).body.VersionName).toBe('0.1.0');
    expect((await add({ Uri })).body.VersionName).toBe('0.2.0');
    expect((await add({ Uri, VersionName: '1.0.0_b' })).body.VersionName).toBe('1.0.0_b');
    expect((await add({ Uri, VersionName: '1.0.0_b' })).body.Code).toBe('ModelVersionDuplicated');
    expect((await add({})).body.Code).toBe('MissingParameter');
    expect((await add({ Uri, SourceType: 'TrainingService', SourceId: 'x' })).body.Code).toBe('InvalidParameter');
    const { body } = await call('ListModelVersions', 'GET', versions, { query: { Label: 'iteration' } });
    expect(body).toMatchObject({ TotalCount: 1, Versions: [{ VersionName: '0.1.0', Labels }] });
    const one = await call('GetModelVersion', 'GET', `${versions}/0.1.0`);
    expect(one.body).toMatchObject({ Uri, InferenceSpec: { containers: [] }, SourceType: 'Custom' });
    expect((await call('GetModel', 'GET', `${MODELS}/${model.ModelId}`)).body.LatestVersion.VersionName).toBe(
      '1.0.0_b',
    );
    await call('DeleteModelVersion', 'DELETE', `${versions}/0.2.0`);
    expect((await call('ListModelVersions', 'GET', versions)).body.TotalCount).toBe(2);
    await call('DeleteModel', 'DELETE', `${MODELS}/${model.ModelId}`);
    expect((await call('GetModel', 'GET', `${MODELS}/${model.ModelId}`)).status).toBe(404);
  });

  it('of the Model Gallery are listed for the provider alone, by exact name in quotes', async () => {
    await call('CreateModel', 'POST', MODELS, { body: { ModelName: 'mine' } });
    const names = async (query: Record<string, string>) => {
      const { body } = await call('ListModels', 'GET', MODELS, { query });
      return body.Models.map(({ ModelName }: { ModelName: string }) => ModelName);
    };
    expect(await names({})).toEqual(['mine']);
    const title = 'Qwen2-72B-Pre-trained (Megatron Edition)';
    expect(await names({ Provider: 'pai', ModelName: 'megatron' })).toHaveLength(2);
    expect(await names({ Provider: 'pai', ModelName: `"${title}"` })).toEqual([title]);
    expect(await names({ Provider: 'pai', ModelName: '"Qwen2-72B"' })).toEqual([]);
    const { body } = await call('ListModels', 'GET', MODELS, { query: { Provider: 'pai', PageSize: '1' } });
    expect(body.Models[0].LatestVersion).toMatchObject({
      TrainingSpec: { AlgorithmProvider: 'pai', ComputeResource: { EcsCount: 4 } },
      InferenceSpec: { containers: [{ port: 8000 }] },
    });
    const id = body.Models[0].ModelId;
    expect((await call('DeleteModel', 'DELETE', `${MODELS}/${id}`)).status).toBe(403);
  });
});

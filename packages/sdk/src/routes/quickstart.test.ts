import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { run72B, sample72B } from '../../test/sample-specs.ts';
import { type Script, scriptedPai } from '../../test/scripted-pai.ts';
import type { PaiInput } from '../pai-transport.ts';
import { type CptRunSpecInput, parseRunSpec } from '../run-spec.ts';
import { toTrainingJob } from './quickstart.ts';

const CARD = 'Qwen2-72B-Pre-trained (Megatron Edition)';
/** The ten hyper-parameters of the guide, as an algorithm would define them. */
const TEN = {
  ...{ job_name: 'qwen2-72b-cpt', batch_size: '1', global_batch_size: '32', learning_rate: '5e-5' },
  ...{ min_learning_rate: '5e-6', sequence_length: '1024', pad_length: '128', save_interval: '1000' },
  ...{ train_tokens: '1638400', warmup_tokens: '163840' },
};
const algorithmSpec = {
  HyperParameters: Object.entries(TEN).map(([Name, DefaultValue]) => ({
    ...{ Name, DefaultValue, Type: Name === 'job_name' ? 'String' : Name.endsWith('rate') ? 'Float' : 'Int' },
    ...(Name === 'save_interval' && { Range: { Minimum: '1', Maximum: '100000' } }),
  })),
  InputChannels: [{ Name: 'model' }, { Name: 'train', Required: true }, { Name: 'validation' }],
  OutputChannels: [{ Name: 'output', Required: true, SupportedChannelTypes: ['nas'] }],
};
const trainingSpec = {
  ...{ AlgorithmName: 'cpt', AlgorithmProvider: 'pai', AlgorithmVersion: 'v1' },
  HyperParameters: Object.entries(TEN).map(([Name, Value]) => ({ Name, Value })),
  InputChannels: [{ Name: 'model', InputUri: 'oss://gallery.oss-cn-hangzhou/qwen2-72b/' }],
};
const latest = { VersionName: '0.1.0', Uri: 'oss://gallery/qwen2-72b/', TrainingSpec: trainingSpec };
const gallery = (more: Script = {}): Script => ({
  ListModels: () => ({
    Models: [
      { ModelId: 'model-1', ModelName: CARD, Provider: 'pai', Domain: 'nlp', Task: 'llm', LatestVersion: latest },
    ],
    TotalCount: 1,
  }),
  ListAlgorithms: () => ({
    Algorithms: [
      { AlgorithmId: 'algo-0', AlgorithmName: 'cpt_old' },
      { AlgorithmId: 'algo-1', AlgorithmName: 'cpt' },
    ],
    TotalCount: 2,
  }),
  GetAlgorithmVersion: () => ({ AlgorithmSpec: algorithmSpec }),
  GetDataset: () => ({ DatasetId: 'd-out', Name: 'out', Uri: 'nas://fs1.cn-hangzhou/out/', DataSourceType: 'NAS' }),
  ...more,
});

const quickstart = (parts: Partial<CptRunSpecInput> = {}): CptRunSpecInput => {
  const { image: _, ...rest } = sample72B;
  return { ...rest, route: 'quickstart', output: { datasetId: 'd-out', mountPath: '/mnt/output' }, ...parts };
};
const bodyOf = async (parts: Partial<CptRunSpecInput> = {}, script: Script = {}) => {
  const pai = scriptedPai(gallery(script));
  return { pai, body: await toTrainingJob(pai, parseRunSpec(quickstart(parts)), '268') };
};
const problemsOf = async (parts: Partial<CptRunSpecInput>, script: Script = {}): Promise<string[]> => {
  const error = await bodyOf(parts, script).catch((thrown: unknown) => thrown);
  if (!CptError.isInstance(error)) throw new Error('nothing was refused');
  return (error.details.errors as { pointer: string; message: string }[]).map((p) => `${p.pointer} ${p.message}`);
};

it('is the card’s algorithm with the guide’s values', async () => {
  const { body, pai } = await bodyOf({ maxRunningTimeMinutes: 90, priority: 5, tags: { team: 'law' } });
  expect(body).toMatchObject({ DisplayName: 'qwen2-72b-cpt', WorkspaceId: '268' });
  expect(body.TrainingJob).toEqual({
    ...{ AlgorithmName: 'cpt', AlgorithmProvider: 'pai', AlgorithmVersion: 'v1', Priority: 5 },
    HyperParameters: Object.entries({ ...TEN, learning_rate: '0.00005', min_learning_rate: '0.000005' }).map(
      ([Name, Value]) => ({ Name, Value }),
    ),
    InputChannels: [
      { Name: 'model', InputUri: 'nas://29ba748c5f.cn-hangzhou/cpt/data/qwen2-72b-mcore-tp8-pp4/' },
      { Name: 'train', InputUri: 'nas://29ba748c5f.cn-hangzhou/cpt/data/' },
    ],
    OutputChannels: [{ Name: 'output', DatasetId: 'd-out' }],
    ComputeResource: { EcsSpec: 'ecs.gn7e-c16g1.32xlarge', EcsCount: 4 },
    Scheduler: { MaxRunningTimeInSeconds: 5400 },
  });
  // The labels by which the console knows a job of QuickStart.
  expect(body.Settings?.Tags).toEqual({
    ...{ BaseModelUri: 'oss://gallery/qwen2-72b/', CreatedBy: 'QuickStart', Domain: 'nlp', RootModelID: 'model-1' },
    ...{ RootModelName: CARD, RootModelVersion: '0.1.0', Task: 'llm', team: 'law' },
  });
  const listed = pai.calls[0]?.input as PaiInput<'ListModels'>;
  expect(listed.query).toMatchObject({ Provider: 'pai', ModelName: `"${CARD}"` });
  expect(pai.calls[2]?.input).toEqual({ path: { AlgorithmId: 'algo-1', AlgorithmVersion: 'v1' } });
});

it('is what the example describes: the guide’s run, with the base model of the card', async () => {
  const path = join(import.meta.dirname, '../../../../examples/qwen2-72b-quickstart.json');
  const spec = parseRunSpec(JSON.parse(readFileSync(path, 'utf8')));
  const { WorkspaceId, TrainingJob } = await toTrainingJob(scriptedPai(gallery()), spec);
  expect(WorkspaceId).toBe('12345');
  expect(TrainingJob).toMatchObject({
    InputChannels: [{ Name: 'model' }, { Name: 'train', InputUri: 'nas://0123456789-abc.cn-hangzhou/cpt/' }],
    ComputeResource: { ResourceId: 'quota0123456789', InstanceCount: 4, InstanceSpec: { GPU: '8' } },
    Scheduler: { MaxRunningTimeInSeconds: 7200 },
  });
});

it('takes the base model of the card when the run names none, and instances of a quota in text', async () => {
  const { baseCheckpoint: _, ...rest } = quickstart();
  const compute = { nodes: 2, gpusPerNode: 8, quotaId: 'q1', cpusPerNode: 96, memoryGiBPerNode: 900 };
  const pai = scriptedPai(gallery());
  const { TrainingJob } = await toTrainingJob(pai, parseRunSpec({ ...rest, compute }), '268');
  expect(TrainingJob.InputChannels[0]).toEqual(trainingSpec.InputChannels[0]);
  expect(TrainingJob.ComputeResource).toEqual({
    ...{ ResourceId: 'q1', InstanceCount: 2, InstanceSpec: { CPU: '96', GPU: '8', Memory: '900' } },
  });
});

it('leaves the kind of job to the algorithm, whatever the job is called', async () => {
  const { body } = await bodyOf({ hyperParameters: { job_name: 'law' } });
  expect(body.DisplayName).toBe('law');
  expect(body.TrainingJob.HyperParameters[0]).toEqual({ Name: 'job_name', Value: 'qwen2-72b-cpt' });
});

describe('refuses', () => {
  it('what the algorithm does not allow or know, all at once', async () => {
    const problems = await problemsOf({
      hyperParameters: { save_interval: 200_000 },
      quickstart: { hyperParameters: { warmup_token: '5' } },
    });
    expect(problems).toEqual([
      '/hyperParameters/save_interval is 200000; it must be <= 100000',
      '/quickstart/hyperParameters/warmup_token is no hyper-parameter of the algorithm; did you mean "warmup_tokens"?',
    ]);
  });

  it('a chosen value that the algorithm has no parameter for, and drops one at its default', async () => {
    const withoutPad = {
      ...algorithmSpec,
      HyperParameters: algorithmSpec.HyperParameters.filter(({ Name }) => Name !== 'pad_length'),
    };
    const script: Script = { GetAlgorithmVersion: () => ({ AlgorithmSpec: withoutPad }) };
    expect((await bodyOf({}, script)).body.TrainingJob.HyperParameters).toHaveLength(10); // the card's own default stays
    expect(await problemsOf({ hyperParameters: { pad_length: 64 } }, script)).toEqual([
      expect.stringContaining('/hyperParameters/pad_length is no hyper-parameter of the algorithm'),
    ]);
  });

  it('an output that does not lie on NAS', async () => {
    const GetDataset: Script['GetDataset'] = () => ({
      ...{ DatasetId: 'd-out', Name: 'out', Uri: 'oss://b.e/out/', DataSourceType: 'OSS' },
    });
    expect(await problemsOf({}, { GetDataset })).toEqual([
      '/output/datasetId is d-out, a data set on OSS; QuickStart writes to a data set on NAS only',
    ]);
  });

  it('a part of a data set, and data that nothing mounts', async () => {
    const dataSources = [{ datasetId: 'd-in', mountPath: '/mnt/data' }];
    expect(await problemsOf({ dataSources, data: { train: '/mnt/data/law/dataset' } })).toEqual([
      expect.stringMatching(/^\/baseCheckpoint lies in qwen2-72b-mcore-tp8-pp4 of the data set d-in; QuickStart takes/),
      expect.stringMatching(/^\/data\/train lies in law of the data set d-in/),
      '/dataSources give nothing for the input channel "train", which is required',
    ]);
    expect((await problemsOf({ data: { train: '/srv/dataset' } }))[0]).toBe(
      '/data/train lies in /srv, which no data source mounts',
    );
  });

  it('a card, a version or an algorithm that is not there', async () => {
    const none: Script = { ListModels: () => ({ Models: [], TotalCount: 0 }) };
    expect(await problemsOf({}, none)).toEqual([
      `/quickstart/card is "${CARD}"; the Model Gallery of cn-hangzhou has no such card`,
    ]);
    const versions: Script = { ListModelVersions: () => ({ Versions: [latest], TotalCount: 1 }) };
    expect(await problemsOf({ quickstart: { version: '9.0.0' } }, versions)).toEqual([
      `/quickstart/version is 9.0.0; "${CARD}" has the versions 0.1.0`,
    ]);
    expect(await problemsOf({ model: 'qwen2-7b' })).toEqual([
      '/quickstart/card is missing; no card of the Model Gallery is known for qwen2-7b',
    ]);
  });
});

describe('the form of a run on QuickStart', () => {
  it.each([
    [{ output: { uri: 'nas://a.cn-hangzhou/out', mountPath: '/mnt/output' } }, '/output', /must be a data set on NAS/],
    [{ data: { train: '/mnt/data/corpus' } }, '/data/train', /reads dataset\.bin and dataset\.idx/],
    [{ image: 'registry/x:1' }, '/image', /brings its own/],
    [{ parallel: { tensorParallelSize: 8, pipelineParallelSize: 4 } }, '/parallel', /brings its own/],
  ])('%j', (parts, pointer, message) => {
    const error = (() => {
      try {
        return parseRunSpec(quickstart(parts));
      } catch (thrown) {
        return thrown;
      }
    })();
    if (!CptError.isInstance(error)) throw new Error('nothing was refused');
    const problem = (error.details.errors as { pointer: string; message: string }[]).find((p) => p.pointer === pointer);
    expect(problem?.message).toMatch(message);
  });

  it('is only for its route', () => {
    expect(() => run72B({}, { quickstart: { card: 'x' } })).toThrow(/\/quickstart is only for the route "quickstart"/);
  });
});

import { describe, expect, it } from 'vitest';
import { paiError, type Script, scriptedPai } from '../test/scripted-pai.ts';
import type { FolderView } from './folder.ts';
import { Models } from './registered-models.ts';

const INDEX = 'model.safetensors.index.json';
/** A converted folder; `undefined` leaves a file out. */
function folder(changes: Record<string, string | number | undefined> = {}): FolderView {
  const files: Record<string, string | number | undefined> = {
    'config.json': '{"architectures":["Qwen2ForCausalLM"]}',
    [INDEX]: '{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}',
    'model-00001-of-00002.safetensors': 100,
    'model-00002-of-00002.safetensors': 50,
    ...changes,
  };
  const present = Object.entries(files).filter(([, content]) => content !== undefined);
  return {
    list: async () =>
      present.map(([name, content]) => ({
        name,
        bytes: typeof content === 'number' ? content : String(content).length,
      })),
    readText: async (name) => String(files[name]),
  };
}
const URI = 'nas://fs1.cn-hangzhou/hf/law/';
const script = (more: Script = {}): Script => ({
  ListModels: () => ({ Models: [], TotalCount: 0 }),
  CreateModel: () => ({ ModelId: 'model-1' }),
  CreateModelVersion: () => ({ VersionName: '0.1.0' }),
  ...more,
});
const register = async (parts: object = {}, more: Script = {}, workspaceId = '268') => {
  const pai = scriptedPai(script(more));
  const lineage = { jobId: 'dlc1', iteration: 1000, datasetFingerprint: 'sha256:data' };
  const version = await new Models(pai, workspaceId).register({
    name: 'law',
    uri: URI,
    folder: folder(),
    lineage,
    ...parts,
  });
  return { pai, version, body: pai.calls.at(-1)?.input.body as Record<string, unknown> };
};

describe('register', () => {
  it('makes a version with the lineage in labels and extra information', async () => {
    const { version, body, pai } = await register({ version: '1.0.0', labels: { team: 'law' } });
    expect(pai.calls.map(({ action }) => action)).toEqual(['ListModels', 'CreateModel', 'CreateModelVersion']);
    expect(pai.calls[0]?.input.query).toMatchObject({ ModelName: '"law"', WorkspaceId: '268' });
    expect(body).toMatchObject({
      ...{ Uri: URI, VersionName: '1.0.0', SourceType: 'Custom', SourceId: 'dlc1' },
      Labels: [
        { Key: 'team', Value: 'law' },
        { Key: 'cpt-job-id', Value: 'dlc1' },
        { Key: 'cpt-iteration', Value: '1000' },
        { Key: 'cpt-dataset-fingerprint', Value: 'sha256:data' },
        { Key: 'cpt-conversion-digest', Value: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
      ],
      ExtraInfo: { cpt: { iteration: 1000, files: 2, bytes: 150, architecture: 'Qwen2ForCausalLM' } },
    });
    expect(version).toMatchObject({ modelId: 'model-1', version: '0.1.0', uri: URI, lineage: { jobId: 'dlc1' } });
  });

  it('names the training job of QuickStart as PAI’s own source', async () => {
    const { body } = await register({ lineage: { jobId: 'train9', conversionDigest: 'sha256:mine' } });
    expect(body).toMatchObject({
      SourceType: 'TrainingService',
      SourceId: 'region=cn-hangzhou,workspaceId=268,kind=TrainingJob,id=train9',
      ExtraInfo: { cpt: { conversionDigest: 'sha256:mine' } },
    });
  });

  it('adds to the model that is there, also when another made it meanwhile', async () => {
    const there = { ModelId: 'model-7', ModelName: 'law' };
    const found = await register(
      {},
      { ListModels: () => ({ Models: [{ ModelId: 'model-6', ModelName: 'law2' }, there], TotalCount: 2 }) },
    );
    expect(found.version.modelId).toBe('model-7');
    const raced = await register(
      {},
      {
        ListModels: (_, calls) => ({ Models: calls === 0 ? [] : [there], TotalCount: calls }),
        CreateModel: () => {
          throw paiError('CPT_PAI_REJECTED');
        },
      },
    );
    expect(raced.version.modelId).toBe('model-7');
  });

  it('has the same digest for the same conversion, and another for another', async () => {
    const digest = async (changes = {}) =>
      (await register({ folder: folder(changes) })).version.lineage.conversionDigest;
    expect(await digest()).toBe(await digest({ 'tokenizer.json': '{}' }));
    expect(await digest()).not.toBe(await digest({ 'model-00002-of-00002.safetensors': 51 }));
    expect(await digest()).not.toBe(await digest({ 'config.json': '{"architectures":[]}' }));
  });

  it.each([
    ['the index', { [INDEX]: undefined }, /neither model\.safetensors\.index\.json nor model\.safetensors/],
    ['a file of weights', { 'model-00002-of-00002.safetensors': undefined }, /1 of its 2 files of weights are missing/],
    ['bytes in one', { 'model-00001-of-00002.safetensors': 0 }, /missing or empty: model-00001/],
    ['config.json', { 'config.json': undefined }, /has no config\.json/],
    ['JSON in the index', { [INDEX]: '{' }, /is not a JSON object/],
    ['names in the index', { [INDEX]: '{"weight_map":{}}' }, /names no files of weights/],
  ])('row 63: refuses a folder without %s, before PAI is asked', async (_, changes, message) => {
    const pai = scriptedPai({});
    const registering = new Models(pai).register({ name: 'x', uri: URI, folder: folder(changes), lineage: {} });
    await expect(registering).rejects.toMatchObject({ code: 'CPT_INPUT_CHECKPOINT_MISSING' });
    await expect(registering).rejects.toThrow(message);
    expect(pai.calls).toEqual([]);
  });

  it('takes a single file of weights', async () => {
    const single = folder({ [INDEX]: undefined, 'model.safetensors': 7 });
    expect((await register({ folder: single })).body).toMatchObject({ ExtraInfo: { cpt: { files: 1, bytes: 7 } } });
  });
});

it('lists the Model Gallery without the workspace, and versions with their lineage', async () => {
  const Labels = [
    { Key: 'cpt-iteration', Value: '500' },
    { Key: 'cpt-job-id', Value: 'dlc1' },
  ];
  const pai = scriptedPai({
    ListModels: () => ({ Models: [{ ModelId: 'm', ModelName: 'card', Provider: 'pai' }], TotalCount: 1 }),
    ListModelVersions: () => ({ Versions: [{ VersionName: '0.2.0', Uri: URI, Labels }], TotalCount: 1 }),
  });
  const models = new Models(pai, '268');
  for await (const model of models.list({ provider: 'pai' }))
    expect(model).toMatchObject({ name: 'card', provider: 'pai' });
  expect(pai.calls[0]?.input.query).toEqual({ Provider: 'pai', Order: 'DESC', PageNumber: 1, PageSize: 50 });
  for await (const version of models.versions({ modelId: 'm', name: 'law' })) {
    expect(version).toMatchObject({ version: '0.2.0', uri: URI, lineage: { jobId: 'dlc1', iteration: 500 } });
  }
});

import { describe, expect, it } from 'vitest';
import { sample72B } from '../../test/sample-specs.ts';
import { type Script, scriptedPai } from '../../test/scripted-pai.ts';
import { parseRunSpec } from '../run-spec.ts';
import { findTrainingTarget } from './gallery.ts';

const CARD = 'Qwen2.5-7B';
const model = (LatestVersion?: object) => ({ ModelId: 'm1', ModelName: CARD, Provider: 'pai', LatestVersion }) as never;
const method = (name: string) => ({
  ...{ AlgorithmName: name, AlgorithmVersion: 'v1', HyperParameters: [{ Name: 'lr', Value: name }] },
});
const { image: _, ...withoutImage } = sample72B;
const spec = (quickstart: object) =>
  parseRunSpec({
    ...{ ...withoutImage, route: 'quickstart', quickstart: { card: CARD, ...quickstart } },
    output: { datasetId: 'd-out', mountPath: '/mnt/output' },
  });
const algorithms: Script = {
  ListAlgorithms: ({ query: { AlgorithmName } }) => ({
    Algorithms: [{ AlgorithmId: `id of ${AlgorithmName}`, AlgorithmName }],
    TotalCount: 1,
  }),
  GetAlgorithmVersion: () => ({ AlgorithmSpec: {} }),
};
const find = (TrainingSpec: object | undefined, quickstart: object = {}) =>
  findTrainingTarget(
    scriptedPai({
      ...algorithms,
      ListModels: () => ({ Models: [model({ VersionName: '0.2.0', TrainingSpec })], TotalCount: 1 }),
    }),
    spec(quickstart),
  );
const refused = (pointer: string, message: string) => ({
  ...{ code: 'CPT_INPUT_INVALID', message: `run specification: ${pointer} ${message}`, details: { field: pointer } },
});

describe('a version with several methods of training', () => {
  // aliyun/pai-python-sdk, RegisteredModel: an object of methods is one that names no algorithm itself.
  const several = { Standard: method('full'), LoRA: method('lora'), Notes: 'not a method' };

  it.each([
    ['Standard', 'full'],
    ['LoRA', 'lora'],
  ])('trains by the one that is named: %s', async (name, algorithm) => {
    expect(await find(several, { method: name })).toMatchObject({
      ...{ algorithm: { AlgorithmName: algorithm }, hyperParameters: [{ Name: 'lr', Value: algorithm }] },
    });
  });

  it('says which there are when none is named, or one that it has not', async () => {
    await expect(find(several)).rejects.toMatchObject(
      refused(
        '/quickstart/method',
        `is missing; version 0.2.0 of "${CARD}" has the methods Standard, LoRA: choose one`,
      ),
    );
    await expect(find(several, { method: 'toString' })).rejects.toMatchObject(
      refused('/quickstart/method', `is "toString"; version 0.2.0 of "${CARD}" has the methods Standard, LoRA`),
    );
  });

  it('needs no name where there is one', async () => {
    expect(await find({ LoRA: method('lora') })).toMatchObject({ algorithm: { AlgorithmName: 'lora' } });
    const inline = { Image: 'i', HyperParameters: [] };
    expect(await find({ LoRA: { AlgorithmSpec: inline } })).toMatchObject({ algorithm: { AlgorithmSpec: inline } });
  });
});

it('refuses a name for the only method, which has none, and a version that cannot be trained', async () => {
  await expect(find(method('full'), { method: 'LoRA' })).rejects.toMatchObject(
    refused('/quickstart/method', `is "LoRA"; version 0.2.0 of "${CARD}" has one method, without a name; leave it out`),
  );
  for (const none of [undefined, {}, { Notes: 'x' }]) {
    await expect(find(none)).rejects.toMatchObject(
      refused('/quickstart/card', `is "${CARD}"; version 0.2.0 of it cannot be trained`),
    );
  }
});

it('finds a version and an algorithm that are on a later page', async () => {
  const versions = Array.from({ length: 70 }, (_, at) => ({ VersionName: `0.${at}.0`, TrainingSpec: method('full') }));
  const named = Array.from({ length: 60 }, (_, at) => ({ AlgorithmId: `id-${at}`, AlgorithmName: `full${at}` }));
  const listed = [...named, { AlgorithmId: 'id-full', AlgorithmName: 'full' }];
  const page = <T>(items: readonly T[], { PageNumber, PageSize }: { PageNumber: number; PageSize: number }) =>
    items.slice((PageNumber - 1) * PageSize, PageNumber * PageSize);
  const pai = scriptedPai({
    ListModels: () => ({ Models: [model()], TotalCount: 1 }),
    ListModelVersions: ({ query }) => ({ Versions: page(versions, query), TotalCount: versions.length }),
    ListAlgorithms: ({ query }) => ({ Algorithms: page(listed, query), TotalCount: listed.length }),
    GetAlgorithmVersion: () => ({ AlgorithmSpec: {} }),
  });
  expect(await findTrainingTarget(pai, spec({ version: '0.66.0' }))).toMatchObject({
    labels: expect.arrayContaining([{ Key: 'RootModelVersion', Value: '0.66.0' }]),
  });
  expect(pai.calls.at(-1)?.input).toMatchObject({ path: { AlgorithmId: 'id-full' } });
});

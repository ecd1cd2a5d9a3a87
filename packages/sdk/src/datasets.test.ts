import { describe, expect, it } from 'vitest';
import { type Script, scriptedPai } from '../test/scripted-pai.ts';
import { checkFolder, Datasets } from './datasets.ts';

const wire = { DatasetId: 'd-1', Name: 'law', Uri: 'nas://fs1.cn-hangzhou/law/', DataSourceType: 'NAS' };
const withScript = (script: Script, workspaceId?: string) => {
  const pai = scriptedPai(script);
  return { pai, datasets: new Datasets(pai, workspaceId) };
};

describe('register', () => {
  it('names a folder on NAS or OSS in the workspace', async () => {
    const { datasets, pai } = withScript(
      { CreateDataset: () => ({ DatasetId: 'd-1' }), GetDataset: () => wire },
      '268',
    );
    const input = { name: 'law', uri: 'nas://fs1.cn-hangzhou/law', labels: { model: 'qwen2' }, mountPath: '/mnt/data' };
    expect(await datasets.register(input)).toEqual({
      ...{ datasetId: 'd-1', name: 'law', uri: 'nas://fs1.cn-hangzhou/law/', sourceType: 'NAS', labels: {} },
    });
    expect(pai.calls[0]).toEqual({
      action: 'CreateDataset',
      input: {
        body: {
          ...{ Name: 'law', Uri: 'nas://fs1.cn-hangzhou/law/', Property: 'DIRECTORY', DataSourceType: 'NAS' },
          ...{ WorkspaceId: '268', Labels: [{ Key: 'model', Value: 'qwen2' }], Options: '{"mountPath":"/mnt/data"}' },
        },
      },
    });
    await datasets.register({ name: 'x', uri: 'oss://bucket.oss-cn-hangzhou.aliyuncs.com/x/' });
    expect(pai.calls[2]?.input.body).toMatchObject({ DataSourceType: 'OSS' });
  });

  it.each(['/mnt/nas/law', 'nas://fs1/law', 'http://x.y/z', 'cpfs://a.b/c'])('refuses %s', async (uri) => {
    await expect(withScript({}).datasets.register({ name: 'x', uri })).rejects.toThrow(/give nas:\/\//);
  });
});

it('lists every page, each data set once, newest first', async () => {
  const page = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => ({ ...wire, DatasetId: `d-${from + index}` }));
  const pages = [page(0, 50), page(49, 2)]; // one was created between the two
  const { datasets, pai } = withScript({
    ListDatasets: (_, calls) => ({ Datasets: pages[calls] ?? [], TotalCount: 51 }),
  });
  const ids: string[] = [];
  for await (const { datasetId } of datasets.list({ name: 'la' })) ids.push(datasetId);
  expect(ids).toHaveLength(51);
  expect(new Set(ids).size).toBe(51);
  expect(pai.calls[1]?.input.query).toEqual({ Name: 'la', Order: 'DESC', PageNumber: 2, PageSize: 50 });
});

describe('check', () => {
  const URI = 'nas://fs1.cn-hangzhou/law/';
  const files = (...list: [string, number][]) => list.map(([name, bytes]) => ({ name, bytes }));

  it('looks a data set up and at the files that are there', async () => {
    const { datasets } = withScript({ GetDataset: () => wire });
    const folder = {
      list: async () => files(['dataset.bin', 4096], ['dataset.idx', 90], ['readme.md', 1]),
      readText: async () => '',
    };
    expect(await datasets.check('d-1', folder)).toEqual({
      ...{ uri: URI, isUsable: true, bytes: { bin: 4096, idx: 90 }, problems: [] },
    });
    expect((await datasets.check('nas://other.r/x/', folder)).uri).toBe('nas://other.r/x/');
  });

  it.each([
    [files(['corpus_text_document.bin', 9], ['corpus_text_document.idx', 90]), /rename corpus_text_document\.bin and/],
    [files(), /has no dataset\.bin: build the data set there/],
    [files(['dataset.bin', 9]), /has no dataset\.idx/],
    [files(['dataset.bin', 0], ['dataset.idx', 90]), /dataset\.bin is empty/],
    [files(['dataset.bin', 9], ['dataset.idx', 33]), /has 33 bytes; its header alone has 34/],
  ])('tells what is wrong with %j', (list, problem) => {
    const check = checkFolder(URI, list);
    expect(check.isUsable).toBe(false);
    expect(check.problems.join('\n')).toMatch(problem);
  });
});

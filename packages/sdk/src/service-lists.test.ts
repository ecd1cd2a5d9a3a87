import { expect, it } from 'vitest';
import { scriptedPai } from '../test/scripted-pai.ts';
import { Services } from './services.ts';

const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
};

it('reads logs by PageNum, in UTC without a zone', async () => {
  const pai = scriptedPai({
    DescribeServiceLog: ({ query }) => ({
      ...{ Logs: [`page ${query?.PageNum}`], PageNum: query?.PageNum ?? 0, TotalCount: 3, TotalPageNum: 3 },
    }),
  });
  const from = new Date('2026-11-24T10:00:00.900+08:00');
  expect(await all(new Services(pai).logs('q', { from, keyword: 'page' }))).toEqual(['page 1', 'page 2', 'page 3']);
  expect(pai.calls[1]?.input).toEqual({
    path: { ClusterId: 'cn-hangzhou', ServiceName: 'q' },
    query: { StartTime: '2026-11-24 02:00:00', Keyword: 'page', PageNum: 2, PageSize: 500 },
  });
});

it('reads events, whose words are in JSON text or are not', async () => {
  const pai = scriptedPai({
    DescribeServiceEvent: () => ({
      Events: [
        { Type: 'Warning', Reason: 'BackOff', Message: '{"message":"it ended"}', Time: '2026-11-24T00:00:00Z' },
        { Reason: 'Started', Message: 'plain' },
        { Message: '{"other":1}' },
      ],
      ...{ TotalCount: 3, TotalPageNum: 1 },
    }),
  });
  expect(await all(new Services(pai).events('q', { type: 'Warning' }))).toEqual([
    { type: 'Warning', reason: 'BackOff', message: 'it ended', at: '2026-11-24T00:00:00Z' },
    { type: 'Normal', reason: 'Started', message: 'plain' },
    { type: 'Normal', reason: '', message: '{"other":1}' },
  ]);
  expect(pai.calls[0]?.input).toMatchObject({ query: { EventType: 'Warning', PageNum: 1, PageSize: 100 } });
});

it('lists instances by PageNumber, page by page', async () => {
  const instances = Array.from({ length: 130 }, (_, at) => ({ InstanceName: `q-${at}`, Status: 'Running' }));
  const pai = scriptedPai({
    ListServiceInstances: (_, calls) => ({
      Instances: instances.slice(calls * 100, (calls + 1) * 100),
      TotalCount: 130,
    }),
  });
  const found = await all(new Services(pai).instances('q'));
  expect(found).toHaveLength(130);
  expect(found[129]).toEqual({ name: 'q-129', status: 'Running', restarts: 0 });
  expect(pai.calls.map(({ input }) => input.query)).toEqual([
    { PageNumber: 1, PageSize: 100 },
    { PageNumber: 2, PageSize: 100 },
  ]);
});

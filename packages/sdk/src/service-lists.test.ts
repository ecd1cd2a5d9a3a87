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

it('neither repeats nor loses a service when one comes and one goes between two pages', async () => {
  const names = Array.from({ length: 230 }, (_, at) => `s-${at}`);
  const pai = scriptedPai({
    ListServices: ({ query }, calls) => {
      const now = [...(calls > 0 ? ['new'] : []), ...names.filter((name) => calls < 2 || name !== 's-7')];
      const { PageNumber: page = 1, PageSize: size = 0 } = query ?? {};
      const Services = now
        .slice((page - 1) * size, page * size)
        .map((ServiceName) => ({ ServiceName, Status: 'Running' }));
      return { Services, PageNumber: page, PageSize: size, TotalCount: now.length };
    },
  });
  const found = (await all(new Services(pai).list())).map(({ name }) => name);
  expect([...found].sort()).toEqual(['new', ...names].sort());
  expect(pai.calls.map(({ input }) => (input.query as { PageNumber: number }).PageNumber)).toEqual([1, 2, 3, 1, 2, 3]);
});

it('tells an event once that newer ones have pushed to the next page', async () => {
  const at = (minute: number) => ({ Reason: `R${minute}`, Message: '', Time: `2026-11-24T00:${minute}:00Z` });
  const list = Array.from({ length: 120 }, (_, index) => at(300 - index));
  const pai = scriptedPai({
    DescribeServiceEvent: ({ query }, calls) => {
      const now = calls === 0 ? list : [at(302), at(301), ...list];
      const { PageNum: page = 1, PageSize: size = 0 } = query ?? {};
      return { Events: now.slice((page - 1) * size, page * size), TotalCount: now.length, TotalPageNum: 2 };
    },
  });
  expect((await all(new Services(pai).events('q'))).map(({ reason }) => reason)).toEqual(list.map((e) => e.Reason));
});

it('keeps events that are alike where nothing was pushed on', async () => {
  const same = { Reason: 'BackOff', Message: 'again', Time: '2026-11-24T00:00:00Z' };
  const pai = scriptedPai({
    DescribeServiceEvent: (_, calls) => ({
      Events: calls === 0 ? Array.from({ length: 100 }, () => same) : [same, same],
      ...{ TotalCount: 102, TotalPageNum: 2 },
    }),
  });
  expect(await all(new Services(pai).events('q'))).toHaveLength(102);
});

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { manualClock, paiError, scriptedPai } from '../test/scripted-pai.ts';
import { parseGoldenPrompts } from './prompt-gate-prompts.ts';
import type { RollOutEvent, RollOutOptions } from './service-canary.ts';
import type { WireService } from './service-wire.ts';
import { Services } from './services.ts';

const PROMPTS = parseGoldenPrompts('{"id":"two","prompt":"1 + 1 =","contains":["2"]}', 'golden.jsonl');

/** Both services answer here; what `answer` gives at the time is their text. */
let server: Server;
let url: string;
let answer: () => string;
beforeEach(async () => {
  answer = () => ' 2';
  server = createServer((request, response) => {
    request.resume();
    const isList = request.url?.endsWith('/v1/models');
    const body = isList ? { data: [{ id: 'm' }] } : { choices: [{ text: answer(), finish_reason: 'stop' }] };
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
});

const member = (ServiceName: string, Weight: number, more: Partial<WireService> = {}): WireService => ({
  ...{ ServiceName, Status: 'Running', AccessToken: 'token', ServiceGroup: 'g', Weight, InternetEndpoint: url },
  ...{ TrafficState: Weight > 0 ? 'grouping' : 'standalone', RunningInstance: 1, TotalInstance: 1 },
  ...more,
});

/** A group in memory. */
function groupOf(...members: WireService[]) {
  const find = (name: string) => {
    const found = members.find(({ ServiceName }) => ServiceName === name);
    if (found) return found;
    throw paiError('CPT_PAI_NOT_FOUND');
  };
  const releases: string[] = [];
  const world = {
    members,
    releases,
    restarts: 0,
    /** Called before each release. */
    onRelease: (_text: string): void => {},
    find,
  };
  const pai = scriptedPai({
    DescribeService: ({ path }) => find(path.ServiceName),
    ListServices: () => ({ Services: members, PageNumber: 1, PageSize: 100, TotalCount: members.length }),
    ListServiceInstances: () => ({
      Instances: [{ InstanceName: 'i', RestartCount: world.restarts }],
      TotalCount: 1,
    }),
    UpdateGroup: ({ body }) => {
      releases.push(`group ${body.TrafficMode}`);
      return {};
    },
    ReleaseService: ({ path, body }) => {
      const text = `${path.ServiceName} ${body.Weight} ${body.TrafficState}`;
      world.onRelease(text);
      releases.push(text);
      Object.assign(find(path.ServiceName), body);
      return {};
    },
  });
  const clock = manualClock();
  const events: RollOutEvent[] = [];
  const rollOut = (options: Partial<RollOutOptions> = {}) =>
    new Services(pai).rollOut('new', {
      ...{ prompts: PROMPTS, probes: 2, clock },
      ...options,
      onEvent: async (event) => {
        events.push(event);
        await options.onEvent?.(event);
      },
    });
  const actions = () => new Set(pai.calls.map(({ action }) => action));
  return Object.assign(world, { rollOut, clock, events, actions });
}

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );
const BACK = ['old 100 grouping', 'new 0 standalone'];

describe('a roll-out', () => {
  it('raises the weight of the new service before it lowers that of the old one', async () => {
    const world = groupOf(member('old', 100), member('new', 0));
    const report = await world.rollOut();
    expect(world.releases).toEqual([
      ...['old 100 grouping', 'group customized', 'new 5 grouping', 'old 95 grouping', 'new 25 grouping'],
      ...['old 75 grouping', 'new 100 grouping', 'old 0 standalone'],
    ]);
    expect(report).toMatchObject({ name: 'new', from: 'old', steps: [{ weight: 5 }, { weight: 25 }, { weight: 100 }] });
    expect(world.clock.sleeps).toEqual([3000, 3000, 3000]); // between two probes of a step
  });

  it.each<[string, (world: ReturnType<typeof groupOf>) => void, Partial<RollOutOptions>, RegExp]>([
    [
      'wrong answers',
      () => {
        answer = () => ' 3';
      },
      {},
      /at 25 %: 2 of 2 probes failed, 0 are allowed: "two" does not hold "2"/,
    ],
    [
      'an instance short',
      ({ find }) => Object.assign(find('new'), { TotalInstance: 2 }),
      {},
      /1 of its 2 instances run/,
    ],
    ['restarts', (world) => Object.assign(world, { restarts: 3 }), {}, /its instances were restarted 3 times/],
    [
      'a failure',
      ({ find }) => Object.assign(find('new'), { Status: 'Failed', Message: 'out of memory' }),
      {},
      /it is Failed: out of memory/,
    ],
  ])('row 64: goes back for %s, the old service first, and stops neither', async (_, harm, options, message) => {
    const world = groupOf(member('old', 100), member('new', 0));
    const error = await failureOf(
      world.rollOut({
        ...options,
        onEvent: (event) => {
          if (event.type === 'weight' && event.weight === 25) harm(world);
        },
      }),
    );
    expect(error).toMatchObject({ code: 'CPT_PAI_CANARY_FAILED', message: expect.stringMatching(message) });
    expect(world.releases.slice(-2)).toEqual(BACK);
    for (const action of ['StopService', 'DeleteService', 'UpdateService']) {
      expect(world.actions()).not.toContain(action);
    }
    expect((error as { details: { report: object } }).details.report).toMatchObject({ steps: [{ weight: 5 }, {}] });
  });

  it('row 64: goes back for answers that come too late', async () => {
    const world = groupOf(member('old', 100), member('new', 0));
    answer = () => {
      void world.clock.sleep(700);
      return ' 2';
    };
    const error = await failureOf(world.rollOut({ maxP95LatencyMs: 600 }));
    expect(error).toMatchObject({ message: expect.stringMatching(/at 5 %: 95 % .* up to 700 ms, 600 ms are allowed/) });
    expect(world.releases.slice(-2)).toEqual(BACK);
  });

  it('bears as many failures as it is told to', async () => {
    const world = groupOf(member('old', 100), member('new', 0));
    let asked = 0;
    answer = () => (++asked % 2 === 0 ? ' 3' : ' 2'); // the gate is the first
    await world.rollOut({ maxErrorRate: 0.5 });
    expect(world.events.at(-1)).toEqual({ type: 'promoted', name: 'new' });
  });

  it('goes back when it is interrupted, and ends with the reason', async () => {
    const world = groupOf(member('old', 100), member('new', 0));
    const controller = new AbortController();
    const reason = new Error('enough');
    const error = await failureOf(
      world.rollOut({
        signal: controller.signal,
        onEvent: (event) => {
          if (event.type === 'step') controller.abort(reason);
        },
      }),
    );
    expect(error).toBe(reason);
    expect(world.releases.slice(-2)).toEqual(BACK);
  });

  it('goes back although PAI fails meanwhile', async () => {
    const world = groupOf(member('old', 100), member('new', 0));
    let failures = 3;
    world.onRelease = (text) => {
      if (text === 'new 25 grouping') throw paiError('CPT_PAI_FORBIDDEN');
      if (world.events.at(-1)?.type === 'roll-back' && failures-- > 0) throw paiError('CPT_PAI_UNAVAILABLE');
    };
    expect(await failureOf(world.rollOut())).toMatchObject({ code: 'CPT_PAI_CANARY_FAILED' });
    expect(world.releases.slice(-2)).toEqual(BACK);
  });

  it.each([
    ['is gone', (members: WireService[]) => members.splice(0, 1), /old, which had the traffic before, is gone/],
    ['failed', (members: WireService[]) => Object.assign(members[0] as object, { Status: 'Failed' }), /is Failed/],
  ])('row 64: leaves the traffic as it is when the service before %s', async (_, harm, message) => {
    const world = groupOf(member('old', 100), member('new', 0));
    const error = await failureOf(
      world.rollOut({
        onEvent: (event) => {
          if (event.type !== 'weight' || event.weight !== 25) return;
          harm(world.members);
          answer = () => ' 3';
        },
      }),
    );
    expect(error).toMatchObject({ code: 'CPT_PAI_NO_WAY_BACK', message: expect.stringMatching(message) });
    expect(world.releases.at(-1)).toBe('old 75 grouping');
  });
});

describe('a roll-out is refused', () => {
  it.each<[string, WireService[], Partial<RollOutOptions>, RegExp]>([
    ['without a group', [{ ServiceName: 'new', Status: 'Running' }], {}, /new is in no group/],
    [
      'beside two services',
      [
        ['new', 0],
        ['a', 50],
        ['b', 50],
      ].map(([n, w]) => member(n as string, w as number)),
      {},
      /a and b share the traffic/,
    ],
    [
      'from a service without traffic',
      [member('new', 0), member('old', 100)],
      { from: 'other' },
      /other has no traffic .* old has it/,
    ],
    [
      'from a service that does not run',
      [member('new', 0), member('old', 100, { Status: 'Stopped' })],
      {},
      /old has the traffic and is Stopped/,
    ],
    ['by falling steps', [member('new', 0)], { steps: [25, 5, 100] }, /the steps are 25, 5, 100/],
    ['by steps that end early', [member('new', 0)], { steps: [5, 50] }, /rise to 100/],
    ['without a prompt', [member('new', 0)], { prompts: [] }, /no golden prompt/],
    ['without a probe', [member('new', 0)], { probes: 0 }, /0 probes/],
  ])('%s', async (_, members, options, message) => {
    const world = groupOf(...members);
    const error = await failureOf(world.rollOut(options));
    expect(error).toMatchObject({ code: 'CPT_INPUT_INVALID', message: expect.stringMatching(message) });
    expect(world.releases).toEqual([]);
  });
});

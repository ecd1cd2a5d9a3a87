import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CptClient, type GoldenPrompt, parseGoldenPrompts, type RollOutEvent, type Services } from '../src/index.ts';
import { localFolder } from '../src/node.ts';

/** Services against a server that shares no code with the client; each serves a tiny Qwen2 for real, with its own processes. */

const KEY = { accessKeyId: 'local-id', accessKeySecret: 'local-secret' };
const FIXTURES = join(import.meta.dirname, '../../../fixtures');
const URI = 'nas://fs1.cn-hangzhou/hf';

/** What transformers 5 gives for the same weights, in float32 and greedily. */
const GOLDEN = parseGoldenPrompts(
  [
    '{"id":"ends in D?","prompt":"QZ#XK","maxTokens":8,"contains":["8D?"],"excludes":["N#"]}',
    '{"id":"ends in N#","prompt":"ZQ7#KJ9W","maxTokens":8,"matches":"N#$"}',
    '{"id":"perplexity 124.84","text":"QZ#XK","maxPerplexity":124.85}',
  ].join('\n'),
  'golden.jsonl',
);
/** Asked of this model, one is always wrong. */
const WRONG = parseGoldenPrompts(
  '{"id":"wrong","prompt":"QZ#XK","maxTokens":8,"contains":["Hangzhou"]}',
  'wrong.jsonl',
);

let root: string;
let pai: PaiLocal;
let services: Services;
const printed: unknown[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sdk-services-'));
  const folder = join(root, 'nas/fs1/hf');
  await mkdir(folder, { recursive: true });
  for (const name of ['config.json', 'model.safetensors']) {
    await copyFile(join(FIXTURES, 'model-runner/model', name), join(folder, name));
  }
  await copyFile(join(FIXTURES, 'tokenizer/tokenizer.json'), join(folder, 'tokenizer.json'));
  pai = await startPaiLocal({
    ...{ accessKeys: { [KEY.accessKeyId]: KEY.accessKeySecret }, region: 'cn-hangzhou', pace: 30 },
    ...{ stateDirectory: join(root, 'state'), nasDirectory: join(root, 'nas') },
  });
  ({ services } = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY }));
});
afterAll(async () => {
  await pai?.close();
  await rm(root, { recursive: true, force: true });
});

const spec = (name: string, group?: string) => ({
  ...{
    name,
    checkpoint: { uri: URI },
    image: 'pai-local/tiny-vllm:latest',
    instanceType: 'ecs.local',
    servedModelName: 'q',
  },
  ...(group !== undefined && { group }),
});
const folder = () => localFolder(join(root, 'nas/fs1/hf'));
const waiting = { timeoutMs: 30_000, pollMs: 50 };
const fast = { ...waiting, probes: 3, pauseMs: 1 };

/** As `ckpt-convert verify` writes it. */
async function verify(): Promise<void> {
  const path = (name: string) => join(root, 'nas/fs1/hf', name);
  const files = await Promise.all(
    ['config.json', 'model.safetensors'].map(async (name) => {
      const sha256 = createHash('sha256')
        .update(await readFile(path(name)))
        .digest('hex');
      return { name, bytes: (await stat(path(name))).size, ...(name.endsWith('.json') && { sha256 }) };
    }),
  );
  await writeFile(path('verification.json'), JSON.stringify({ verification: 1, files }));
}
async function deploy(name: string, group?: string): Promise<void> {
  printed.push(await services.deploy(spec(name, group), { folder: folder() }));
  await services.wait(name, waiting);
}
async function rollOut(
  name: string,
  prompts: readonly GoldenPrompt[],
  onEvent: (event: RollOutEvent) => Promise<void> = async () => {},
) {
  const events: RollOutEvent[] = [];
  const keep = (event: RollOutEvent) => {
    events.push(event);
    return onEvent(event);
  };
  const outcome = await services.rollOut(name, { ...fast, prompts, onEvent: keep }).catch((error: unknown) => error);
  printed.push(outcome, events);
  return { outcome: outcome as { code?: string; message?: string; steps?: unknown[] }, events };
}
const shares = async () => {
  const all: string[] = [];
  for await (const { name, weight, trafficState, phase } of services.list()) {
    all.push(`${name} ${phase} ${trafficState} ${weight}`);
  }
  return all.sort();
};

it('row 63: deploys nothing that was not verified', async () => {
  await expect(services.deploy(spec('first'), { folder: folder() })).rejects.toMatchObject({
    code: 'CPT_INPUT_UNVERIFIED',
    message: expect.stringContaining('ckpt-convert verify'),
  });
  await expect(services.deploy(spec('first'), {})).rejects.toMatchObject({ code: 'CPT_INPUT_UNVERIFIED' });
  const nothing = localFolder(join(root, 'nas'));
  await expect(services.deploy(spec('first'), { folder: nothing })).rejects.toMatchObject({
    code: 'CPT_INPUT_CHECKPOINT_MISSING',
  });
  expect(await shares()).toEqual([]);
  await verify();
});

describe('a group of services', () => {
  it('gives the first all traffic when its prompts pass', async () => {
    await deploy('first', 'models');
    const group = await services.groupEndpoint('models');
    printed.push(group);
    expect(await shares()).toEqual(['first running standalone 0']);
    const { outcome, events } = await rollOut('first', GOLDEN);
    expect(outcome).toMatchObject({
      name: 'first',
      gate: { ok: true, prompts: 3 },
      steps: [{ weight: 100, failed: 0 }],
    });
    expect(events.map(({ type }) => type)).toEqual(['gate', 'weight', 'step', 'promoted']);
    expect(await shares()).toEqual(['first running grouping 100']);
    const answer = await fetch(`${group.url}/v1/models`, { headers: { authorization: group.token } });
    expect(answer.status).toBe(200);
  });

  it('row 64: gives a service that fails its prompts no traffic', async () => {
    await deploy('second', 'models');
    const { outcome } = await rollOut('second', [...GOLDEN, ...WRONG]);
    expect(outcome).toMatchObject({
      code: 'CPT_PAI_GATE_FAILED',
      message: expect.stringContaining(
        'failed 1 of 4 golden prompts and got no traffic: "wrong" does not hold "Hangzhou"',
      ),
    });
    expect(await shares()).toEqual(['first running grouping 100', 'second running standalone 0']);
  });

  it('moves the traffic step by step, and leaves the service before running', async () => {
    const { outcome, events } = await rollOut('second', GOLDEN);
    expect(outcome).toMatchObject({ from: 'first', steps: [{ weight: 5 }, { weight: 25 }, { weight: 100 }] });
    expect(events.flatMap((event) => (event.type === 'weight' ? [[event.weight, event.otherWeight]] : []))).toEqual([
      [5, 95],
      [25, 75],
      [100, 0],
    ]);
    expect(await shares()).toEqual(['first running standalone 0', 'second running grouping 100']);
  });

  it('row 64: goes back by itself when the canary stops', async () => {
    const { outcome, events } = await rollOut('first', GOLDEN, async (event) => {
      if (event.type === 'weight' && event.weight === 25) await services.stop('first');
    });
    expect(outcome).toMatchObject({
      code: 'CPT_PAI_CANARY_FAILED',
      message: expect.stringMatching(/^first was taken off the traffic at 25 %: .* probes failed/),
    });
    expect(events.at(-1)).toMatchObject({ type: 'roll-back', to: 'second' });
    expect((await shares())[1]).toBe('second running grouping 100');
    expect((await services.get('first')).trafficState).toBe('standalone');
  });

  it('row 64: says so when the way back is gone, and touches nothing more', async () => {
    await services.start('first');
    const { outcome } = await rollOut('first', GOLDEN, async (event) => {
      if (event.type !== 'weight' || event.weight !== 25) return;
      await services.stop('second');
      await services.stop('first');
    });
    expect(outcome).toMatchObject({
      code: 'CPT_PAI_NO_WAY_BACK',
      message: expect.stringMatching(
        /second, which had the traffic before, is Stopp(ing|ed); the traffic was left as it is/,
      ),
    });
    const left = await Promise.all(['first', 'second'].map((name) => services.get(name)));
    expect(left.map(({ weight, trafficState }) => [weight, trafficState])).toEqual([
      [25, 'grouping'],
      [75, 'grouping'],
    ]);
  });

  it('is promoted by hand', async () => {
    await expect.poll(async () => (await services.get('second')).status, { timeout: 20_000 }).toBe('Stopped');
    await services.start('second');
    await services.wait('second', waiting);
    await services.promote('second');
    expect((await shares())[1]).toBe('second running grouping 100');
    expect((await services.get('first')).weight).toBe(0);
  });
});

it('holds perplexity against a reference, and tells an answer that did not come', async () => {
  const ratio = (most: number) =>
    parseGoldenPrompts(`{"id":"r","text":"ZQ7#KJ9W","maxPerplexityRatio":${most}}`, 'ratio.jsonl');
  const same = await services.gate('second', ratio(1.0001), { reference: 'second' });
  expect(same.ok).toBe(true);
  expect(same.results[0]?.perplexity).toBeCloseTo(327.726, 1); // transformers
  const half = await services.gate('second', ratio(0.5), { reference: 'second' });
  expect(half.results[0]?.faults[0]).toMatch(/has a perplexity of 327\.7\d\d, above 0\.5 × 327/);
  const tooLong = parseGoldenPrompts(`{"messages":[{"role":"user","content":"${'Z'.repeat(300)}"}]}`, 'long.jsonl');
  expect(await services.gate('second', tooLong)).toMatchObject({ ok: false, failed: 1, unanswered: 1 });
});

it('scales, tells logs, events and instances, and goes back a version', async () => {
  await services.scale('second', 2);
  const names: string[] = [];
  await expect
    .poll(
      async () => {
        names.length = 0;
        for await (const { name, status } of services.instances('second')) if (status === 'Running') names.push(name);
        return names.length;
      },
      { timeout: 20_000 },
    )
    .toBe(2);
  const lines: string[] = [];
  for await (const line of services.logs('second', { keyword: 'serving q' })) lines.push(line);
  expect(lines.length).toBeGreaterThanOrEqual(2);
  const reasons = new Set<string>();
  for await (const event of services.events('second', { type: 'Normal' })) reasons.add(event.reason);
  expect([...reasons]).toEqual(expect.arrayContaining(['Started', 'Running', 'Scaling']));
  await expect(services.rollback('second')).rejects.toThrow(/has version 1 and none before it/);
  await services.autoscale('second', { minInstances: 1, maxInstances: 3, rules: [{ metric: 'qps', threshold: 10 }] });
  const scaler = { minInstances: 1, maxInstances: 4, rules: [{ metric: 'gpu[util]', threshold: 80 }] };
  await services.autoscale('second', scaler);
  expect(await services.autoscaler('second')).toEqual(scaler);
  await services.deleteAutoscaler('second');
  expect(await services.autoscaler('second')).toBeUndefined();
  const yearly = { name: 'yearly', schedule: '0 0 0 1 1 *', instances: 1 };
  await services.cronScale('second', { jobs: [yearly] });
  await services.cronScale('second', { jobs: [{ ...yearly, instances: 2, timeZone: 'Asia/Shanghai' }] });
  expect(await services.cronScaler('second')).toEqual({
    ...{ jobs: [{ ...yearly, instances: 2, state: 'Submitted' }], excludeDates: [] },
  });
  await services.deleteCronScaler('second');
  expect(await services.cronScaler('second')).toBeUndefined();
});

it('looks for a service whose creation was not answered, and creates no second', async () => {
  const rules = [{ fault: 'drop' as const, action: 'CreateService', commits: true, times: 1 }];
  pai.faults.set({ rules });
  expect(await services.deploy(spec('lost'), { folder: folder() })).toMatchObject({ name: 'lost' });
  expect(pai.faults.counts()[0]?.struck).toBe(1);
  pai.faults.set({ rules: [{ ...rules[0], commits: false }] as typeof rules });
  await expect(services.deploy(spec('never'), { folder: folder() })).rejects.toMatchObject({
    code: 'CPT_PAI_UNAVAILABLE',
  });
  // The name is another's: what is found under it is not taken for one's own.
  pai.faults.set({ rules: [{ ...rules[0], commits: false }] as typeof rules });
  await expect(services.deploy(spec('lost'), { folder: folder() })).rejects.toMatchObject({
    code: 'CPT_PAI_UNAVAILABLE',
  });
  pai.faults.set({ rules: [] });
  await services.delete('lost');
});

it('shows no token anywhere', async () => {
  const tokens = await Promise.all(['first', 'second'].map(async (name) => (await services.endpoint(name)).token));
  tokens.push((await services.groupEndpoint('models')).token);
  for await (const event of services.events('second')) printed.push(event);
  for await (const line of services.logs('second')) printed.push(line);
  for await (const service of services.list()) printed.push(service);
  const text = printed.map((value) => inspect(value, { depth: 12 }) + JSON.stringify(value)).join('\n');
  expect(text.length).toBeGreaterThan(5000);
  for (const token of tokens) {
    expect(token.length).toBeGreaterThan(20);
    expect(text).not.toContain(token);
  }
});

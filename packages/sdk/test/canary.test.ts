import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CptClient } from '../src/index.ts';
import { fileSubmitJournal } from '../src/submit/node.ts';
import { type AcsServer, type Reply, type SeenRequest, startAcsServer } from './acs-server.ts';
import { sample72B } from './sample-specs.ts';
import { manualClock } from './scripted-pai.ts';

/** A PAI that quotes everything it was sent in everything it says: the worst that an error text can do. */

const CANARIES = {
  accessKeyId: 'LTAI5tCanaryKeyId0001',
  accessKeySecret: 'canary-secret-9f86d081884c',
  securityToken: 'canary-session-5feceb66ffc8',
  hfToken: 'canary-environment-6b86b273ff34',
  password: 'canary-password-d4735e3a265e',
};
const { accessKeyId, accessKeySecret, securityToken, hfToken, password } = CANARIES;

let folder: string;
let server: AcsServer;
let mode: (text: string) => Reply;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'canary-'));
  server = await startAcsServer({ secrets: { [accessKeyId]: accessKeySecret }, securityToken }, (request) =>
    // Submitting looks first, and must find nothing, so that it comes to its create.
    request.url.includes('DisplayName=') ? { json: { Jobs: [], TotalCount: 0 } } : mode(quoted(request)),
  );
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const quoted = ({ method, url, headers, body }: SeenRequest): string =>
  `${method} ${url} ${JSON.stringify(headers)} ${body} signed with ${accessKeySecret}`;

const MODES: Record<string, (text: string) => Reply> = {
  'a refusal': (text) => ({ status: 400, json: { Code: 'InvalidParameter', Message: text, RequestId: 'R' } }),
  'a wrong signature': (text) => ({ status: 400, json: { Code: 'SignatureDoesNotMatch', Message: text } }),
  'an outage': (text) => ({ status: 500, json: { Code: 'InternalError', Message: text, RequestId: 'R' } }),
  'a page of a gateway': (text) => ({ status: 502, raw: `<html>${text}</html>` }),
  'a page with status 200': (text) => ({ status: 200, raw: text }),
  'a code and an id': (text) => ({ status: 403, json: { Code: `Forbidden ${text}`, Message: '', RequestId: text } }),
};

const clientOf = (): CptClient =>
  new CptClient({
    ...{ regionId: 'cn-hangzhou', endpoint: server.url, retry: { maxAttempts: 2, baseDelayMs: 1 } },
    credential: { accessKeyId, accessKeySecret, securityToken },
  });
const spec = { ...sample72B, environment: { HF_TOKEN: hfToken, DB_PASSWORD: password, NCCL_DEBUG: 'INFO' } };
const first = async (list: AsyncIterable<unknown>): Promise<unknown> => {
  for await (const item of list) return item;
  return undefined;
};

const timing = { settleMs: 20, settleReads: 2, confirmMs: 1, firstPollMs: 1, longestPollMs: 5, callMs: 5000 };
const patience = { timeoutMs: 5000, timing };

/** Everything that a caller can do, once. */
const CALLS: Record<string, (client: CptClient, journal: string) => Promise<unknown>> = {
  submit: ({ jobs }, journal) =>
    jobs.submit(spec, { key: 'canary', journal: fileSubmitJournal(journal), force: true, ...patience }),
  recover: ({ jobs }, journal) => jobs.recover(fileSubmitJournal(journal), patience),
  get: ({ jobs }) => jobs.get('dlc1'),
  list: ({ jobs }) => first(jobs.list({ tags: { team: 'law' } })),
  stop: ({ jobs }) => jobs.stop('dlc1'),
  delete: ({ jobs }) => jobs.delete('dlc1'),
  logs: ({ jobs }) => jobs.logs('dlc1'),
  follow: ({ jobs }) => first(jobs.follow('dlc1', { clock: manualClock() })),
  watch: ({ jobs }) => first(jobs.watch('dlc1', { clock: manualClock(), stopOn: ['A1'] })),
  explain: ({ jobs }) => jobs.explain('dlc1'),
  metrics: ({ jobs }) => jobs.metrics('dlc1'),
  wait: ({ jobs }) => jobs.wait('dlc1', { timeoutMs: 20, pollMs: 10, clock: manualClock() }),
  facts: async (client) => (await client.gatherFacts(spec)).unreached,
  datasets: ({ datasets }) => datasets.register({ name: 'a', uri: 'nas://fs.cn-hangzhou/a' }),
  models: ({ models }) => first(models.list()),
  workspaces: ({ workspaces }) => workspaces.activation(),
  quotas: ({ quotas }) => first(quotas.list()),
  services: ({ services }) => services.get('qwen2'),
};

/** All that printing, logging or sending on could show of a value. */
function shown(value: unknown): string {
  const texts = [inspect(value, { depth: 12, showHidden: true }), JSON.stringify(value) ?? ''];
  for (let error = value; error instanceof Error; error = error.cause) {
    texts.push(String(error), error.stack ?? '', JSON.stringify({ ...error }));
  }
  return texts.join('\n');
}

describe.each(Object.keys(MODES))('row 56: %s that quotes the request', (name) => {
  it('shows no secret in any error, result, event or journal', async () => {
    mode = MODES[name] as (text: string) => Reply;
    const journal = join(folder, name.replaceAll(' ', '-'));
    const client = clientOf();
    const said: Record<string, string> = {};
    for (const [call, run] of Object.entries(CALLS)) {
      said[call] = shown(await run(client, journal).catch((error: unknown) => error));
    }
    said.client = shown(client);
    said.journal = readdirSync(journal)
      .map((file) => readFileSync(join(journal, file), 'utf8'))
      .join('');
    for (const [sink, text] of Object.entries(said)) {
      const found = Object.entries(CANARIES).filter(([, secret]) => text.includes(secret));
      expect([sink, found.map(([secret]) => secret)]).toEqual([sink, []]);
    }
    // The key of the submission is in the journal: it was written.
    expect([said.journal?.includes('"canary"'), said.get?.includes('PaiError')]).toEqual([true, true]);
  });
});

it('the server did see the secrets, so that it had something to quote', () => {
  const all = server.seen.map(quoted).join('\n');
  const unseen = Object.entries(CANARIES).filter(([, secret]) => !all.includes(secret));
  expect(unseen.map(([secret]) => secret)).toEqual([]);
});

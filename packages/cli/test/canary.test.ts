import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

/** `cpt` against a PAI that quotes all it was sent, keys and environment included, in its error texts. */

const CANARIES = {
  accessKeyId: 'LTAI5tCanaryKeyId0002',
  accessKeySecret: 'canary-secret-4e07408562be',
  securityToken: 'canary-session-4b227777d4dd',
  environment: 'canary-environment-ef2d127de37b',
};
const cli = join(import.meta.dirname, '../bin/cpt.js');
const example = join(import.meta.dirname, '../../../examples/qwen2-72b.json');

let folder: string;
let server: Server;
let url: string;
const seen: string[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cpt-canary-'));
  const spec = JSON.parse(readFileSync(example, 'utf8'));
  writeFileSync(
    join(folder, 'spec.json'),
    JSON.stringify({ ...spec, environment: { HF_TOKEN: CANARIES.environment } }),
  );
  server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const quoted = `${request.url} ${JSON.stringify(request.headers)} ${body} ${CANARIES.accessKeySecret}`;
    seen.push(quoted);
    const isSearch = request.url?.includes('DisplayName=');
    const answer = isSearch
      ? { Jobs: [], TotalCount: 0 }
      : { Code: 'InvalidParameter', Message: quoted, RequestId: 'R' };
    response.writeHead(isSearch ? 200 : 400, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});

function cpt(...args: string[]): Promise<string> {
  const env = {
    ...{ PATH: process.env.PATH, HOME: folder, NO_COLOR: '1', CPT_STATE_DIR: join(folder, 'state'), PAI_ENDPOINT: url },
    ALIBABA_CLOUD_ACCESS_KEY_ID: CANARIES.accessKeyId,
    ALIBABA_CLOUD_ACCESS_KEY_SECRET: CANARIES.accessKeySecret,
    ALIBABA_CLOUD_SECURITY_TOKEN: CANARIES.securityToken,
  };
  const child = spawn(process.execPath, [cli, ...args], { env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve(said));
  });
}

it('row 56: shows no key, token or secret of the environment on stdout, on stderr or in its journal', async () => {
  const commands = [
    ['submit', 'spec.json', '--key', 'monday'],
    ['submit', 'spec.json', '--key', 'monday', '--json'],
    ['submit', '--recover'],
    ['plan', 'spec.json', '--ask', '--json'],
    ['watch', 'dlc1'],
    ['jobs', 'get', 'dlc1'],
    ['datasets', 'list'],
    ['doctor'],
  ];
  const said: Record<string, string> = {};
  for (const args of commands) said[args.join(' ')] = await cpt(...args);
  said.journal = readdirSync(join(folder, 'state'))
    .map((name) => readFileSync(join(folder, 'state', name), 'utf8'))
    .join('');
  for (const [sink, text] of Object.entries(said)) {
    const found = Object.entries(CANARIES).flatMap(([name, secret]) => (text.includes(secret) ? [name] : []));
    expect([sink, found]).toEqual([sink, []]);
    expect([sink, text.length > 20]).toEqual([sink, true]);
  }
  const all = seen.join('\n');
  expect(Object.values(CANARIES).filter((secret) => !all.includes(secret))).toEqual([]);
});

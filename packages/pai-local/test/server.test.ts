import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startPaiLocal } from '../src/index.ts';
import { caller, KEY, openSandbox, type Sandbox, sendRaw, until } from './client.ts';
import { sign } from './sign.ts';

const VERSION = '2020-12-03';
const JOBS = '/api/v1/jobs';

let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await openSandbox();
});
afterEach(() => sandbox.close());

const requestId = expect.stringMatching(/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/);

describe('every answer', () => {
  it('names its request, and so does every refusal', async () => {
    const { url } = await sandbox.start();
    const good = await caller(url, VERSION)('ListJobs', 'GET', JOBS);
    const bad = await sendRaw(url, { method: 'GET', url: JOBS });
    expect(good).toMatchObject({ status: 200, body: { RequestId: requestId, Jobs: [], TotalCount: 0 } });
    expect(bad).toMatchObject({ status: 400, body: { RequestId: requestId, Code: 'IncompleteSignature' } });
    for (const { headers, body } of [good, bad]) expect(headers['x-acs-request-id']).toBe(body.RequestId);
    expect(good.body.RequestId).not.toBe(bad.body.RequestId);
  });
});

describe('requests', () => {
  it('are signed with a key of the server, once, and arrive as signed', async () => {
    const keys = { testid: 'testsecret', second: { secret: 's2' }, 'STS.x': { secret: 's3', securityToken: 'token' } };
    const { url } = await sandbox.start({ accessKeys: keys });
    const list = async (signer: Parameters<typeof caller>[2]) =>
      (await caller(url, VERSION, signer)('ListJobs', 'GET', JOBS)).body.Code;
    expect(await list({ id: 'second', secret: 's2' })).toBeUndefined();
    expect(await list({ id: 'STS.x', secret: 's3', securityToken: 'token' })).toBeUndefined();
    expect(await list({ id: 'STS.x', secret: 's3' })).toBe('MissingSecurityToken');
    expect(await list({ id: 'testid', secret: 's2' })).toBe('SignatureDoesNotMatch');
    expect(await list({ id: 'nobody', secret: 's2' })).toBe('InvalidAccessKeyId.NotFound');
    expect(await list({ ...KEY, date: Date.now() - 16 * 60_000 })).toBe('InvalidTimeStamp.Expired');

    const unsigned = {
      method: 'POST',
      path: JOBS,
      host: new URL(url).host,
      action: 'CreateJob',
      version: VERSION,
      body: '{}',
    };
    const { url: path, ...request } = sign(unsigned, KEY);
    const send = async (body = request.body) =>
      (await sendRaw(url, { method: 'POST', url: path, ...request, body })).body.Code;
    expect(await send('{"DisplayName":"x"}')).toBe('SignatureDoesNotMatch');
    expect(await send()).toBe('MissingParameter');
    expect(await send()).toBe('SignatureNonceUsed');
  });

  it('name the operation that their path and method mean', async () => {
    const { url } = await sandbox.start();
    const code = async (...request: [string, string, string]) => {
      const answer = await caller(url, VERSION)(...request);
      return [answer.status, answer.body.Code];
    };
    expect(await code('GetJob', 'GET', JOBS)).toEqual([404, 'InvalidAction.NotFound']);
    expect(await code('ListJobs', 'PATCH', JOBS)).toEqual([404, 'InvalidAction.NotFound']);
    expect(await code('ListQuotas', 'GET', '/api/v1/quotas/')).toEqual([404, 'InvalidAction.NotFound']);
    const wrongVersion = await caller(url, '2021-07-01')('ListJobs', 'GET', JOBS);
    expect(wrongVersion.body.Code).toBe('InvalidAction.NotFound');
  });

  it('may not be endless', async () => {
    const { url } = await sandbox.start();
    const answer = await sendRaw(url, { method: 'POST', url: JOBS, body: 'x'.repeat(1024 * 1024 + 1) });
    expect(answer).toMatchObject({ status: 400, body: { Code: 'InvalidParameter' } });
  });
});

describe('startPaiLocal', () => {
  it('keeps a second server off its state, until it is closed', async () => {
    const first = await sandbox.start();
    await expect(sandbox.start()).rejects.toThrow(expect.objectContaining({ code: 'CPT_INPUT_INVALID' }));
    await first.close();
    await first.close();
    await sandbox.start();
  });

  it('takes over the state of one that was killed', async () => {
    await mkdir(join(sandbox.directory, 'state'));
    const { pid } = spawnSync('true'); // gone by now
    await writeFile(join(sandbox.directory, 'state/pai-local.pid'), String(pid));
    const { close } = await sandbox.start();
    expect(await readFile(join(sandbox.directory, 'state/pai-local.pid'), 'utf8')).toBe(String(process.pid));
    await close();
  });

  it('says when its port is taken, and leaves nothing behind', async () => {
    const { url } = await sandbox.start();
    const port = Number(new URL(url).port);
    const stateDirectory = join(sandbox.directory, 'second');
    await expect(sandbox.start({ port, stateDirectory })).rejects.toThrow('EADDRINUSE');
    await sandbox.start({ stateDirectory });
  });

  it('wants an access key', async () => {
    await expect(sandbox.start({ accessKeys: {} })).rejects.toThrow('at least one access key');
  });

  it('refuses a state that it did not write, without keeping it', async () => {
    await mkdir(join(sandbox.directory, 'state/jobs'), { recursive: true });
    const file = join(sandbox.directory, 'state/jobs/x.json');
    await writeFile(file, 'rubbish');
    await expect(sandbox.start()).rejects.toThrow(expect.objectContaining({ code: 'CPT_FORMAT_STATE_FILE' }));
    await writeFile(file, '{"kind":"job","status":"Stopped"}');
    await sandbox.start();
  });

  it('works in folders whose names a shell would take apart', async () => {
    const odd = join(sandbox.directory, "it's $(odd) & here");
    await mkdir(join(odd, 'images/shell/bin'), { recursive: true });
    await writeFile(join(odd, 'images/shell/env.json'), `{"TOOLS":"${'$'}{IMAGE}/tools"}`);
    await mkdir(join(odd, 'images/shell/tools'));
    const server = await startPaiLocal({
      accessKeys: { testid: 'testsecret' },
      stateDirectory: join(odd, 'state'),
      nasDirectory: join(odd, 'nas'),
      imagesDirectory: join(odd, 'images'),
      pace: 10,
    });
    try {
      const call = caller(server.url, VERSION);
      const body = {
        DisplayName: 'odd',
        JobType: 'PyTorchJob',
        JobSpecs: [{ Type: 'Worker', Image: 'shell', PodCount: 1, EcsSpec: 'ecs.c6.large' }],
        UserCommand: 'cd $TOOLS && echo done > /mnt/out/result',
        DataSources: [{ Uri: 'nas://fs.cn-hangzhou/o', MountPath: '/mnt/out' }],
      };
      const id = (await call('CreateJob', 'POST', JOBS, { body })).body.JobId;
      await until(
        () => call('GetJob', 'GET', `${JOBS}/${id}`),
        (answer) => answer.body.Status === 'Succeeded',
      );
      expect(await readFile(join(odd, 'nas/fs/o/result'), 'utf8')).toBe('done\n');
    } finally {
      await server.close();
    }
  });
});

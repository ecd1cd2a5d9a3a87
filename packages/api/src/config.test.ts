import { describe, expect, it } from 'vitest';
import { isLoopback, readConfig } from './config.ts';

const PAI = { PAI_REGION: 'cn-hangzhou' };

describe('readConfig', () => {
  it('needs no more than a region', () => {
    expect(readConfig(PAI)).toEqual({
      host: '127.0.0.1',
      port: undefined,
      mayUseOtherPort: true,
      databaseUrl: undefined,
      dataDirectory: '.cpt/api',
      token: undefined,
      logLevel: 'info',
      pai: { regionId: 'cn-hangzhou' },
    });
  });

  it('reads every variable', () => {
    const config = readConfig({
      HOST: '0.0.0.0',
      PORT: '9000',
      PORT_FALLBACK: '1',
      DATABASE_URL: 'postgres://cpt@db/cpt',
      DATA_DIR: '/srv/cpt',
      CPT_API_TOKEN: 'top-secret',
      LOG_LEVEL: 'warn',
      PAI_REGION: 'cn-beijing',
      PAI_ENDPOINT: 'http://127.0.0.1:4010',
      PAI_WORKSPACE_ID: '12345',
      ALIBABA_CLOUD_ACCESS_KEY_ID: 'id',
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: 'secret',
      ALIBABA_CLOUD_SECURITY_TOKEN: 'session',
    });
    expect(config).toEqual({
      host: '0.0.0.0',
      port: 9000,
      mayUseOtherPort: true,
      databaseUrl: 'postgres://cpt@db/cpt',
      dataDirectory: '/srv/cpt',
      token: 'top-secret',
      logLevel: 'warn',
      pai: {
        regionId: 'cn-beijing',
        endpoint: 'http://127.0.0.1:4010',
        workspaceId: '12345',
        credential: { accessKeyId: 'id', accessKeySecret: 'secret', securityToken: 'session' },
      },
    });
  });

  it('keeps to the port that was named', () => {
    expect(readConfig({ ...PAI, PORT: '9000' })).toMatchObject({ port: 9000, mayUseOtherPort: false });
    expect(readConfig({ ...PAI, PORT: '0' })).toMatchObject({ port: 0 });
  });

  it('takes an empty variable for one that is not set', () => {
    expect(readConfig({ ...PAI, PORT: '', HOST: ' ', CPT_API_TOKEN: '' })).toEqual(readConfig(PAI));
  });

  it.each<[string, Record<string, string>]>([
    ['PAI_REGION', { PAI_REGION: '' }],
    ['PAI_REGION', { PAI_REGION: 'evil.example.com/' }],
    ['PORT', { PORT: '80a' }],
    ['PORT', { PORT: '65536' }],
    ['PORT', { PORT: '-1' }],
    ['PORT_FALLBACK', { PORT: '9000', PORT_FALLBACK: 'yes' }],
    ['HOST', { HOST: 'a b' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://root:hunter2@db/cpt' }],
    ['DATABASE_URL', { DATABASE_URL: 'hunter2' }],
    ['PAI_ENDPOINT', { PAI_ENDPOINT: 'pai.example.com' }],
    ['CPT_API_TOKEN', { CPT_API_TOKEN: 'zwölf' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
    ['ALIBABA_CLOUD_ACCESS_KEY_SECRET', { ALIBABA_CLOUD_ACCESS_KEY_ID: 'id' }],
    ['ALIBABA_CLOUD_ACCESS_KEY_ID', { ALIBABA_CLOUD_ACCESS_KEY_SECRET: 'hunter2' }],
  ])('names %s in one line for %j', (name, environment) => {
    const read = () => readConfig({ ...PAI, ...environment });
    expect(read).toThrow(expect.objectContaining({ code: 'CPT_CONFIG_INVALID', details: { field: name } }));
    expect(read).toThrow(new RegExp(`^${name}: [^\n]+$`));
    expect(read).not.toThrow(/hunter2/);
  });

  it.each(['0.0.0.0', '::', '192.168.1.5', 'db.example.com', '127.example.com'])(
    'refuses to listen on %s without a token',
    (host) => {
      expect(() => readConfig({ ...PAI, HOST: host })).toThrow(/^HOST: .*set CPT_API_TOKEN/);
      expect(readConfig({ ...PAI, HOST: host, CPT_API_TOKEN: 'x' }).host).toBe(host);
    },
  );
});

describe('isLoopback', () => {
  it.each(['127.0.0.1', '127.9.9.9', 'localhost', '::1', '[::1]'])('is true for %s', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(['', '0.0.0.0', '128.0.0.1', '127.evil.com', 'localhost.evil.com', '1127.0.0.1'])(
    'is false for "%s"',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});

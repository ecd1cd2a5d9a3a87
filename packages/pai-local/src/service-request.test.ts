import { describe, expect, it } from 'vitest';
import { parseServiceRequest, rewritePort } from './service-request.ts';

const CONTAINER = { image: 'r/tiny-vllm', port: 8000, script: 'vllm serve /model --port 8000' };
const CONFIG = { metadata: { name: 'qwen2_cpt', instance: 1 }, containers: [CONTAINER] };

describe('parseServiceRequest', () => {
  it('reads what decides how a service runs', () => {
    const config = {
      ...CONFIG,
      containers: [{ ...CONTAINER, env: [{ name: 'A', value: '1' }] }],
      storage: [{ mount_path: '/model', nfs: { server: 'fs.r.nas.aliyuncs.com', path: '/hf' } }],
    };
    expect(parseServiceRequest(config)).toEqual({
      name: 'qwen2_cpt',
      image: 'r/tiny-vllm',
      script: 'vllm serve /model --port 8000',
      port: 8000,
      env: { A: '1' },
      mounts: [{ mountPath: '/model', nasPath: 'fs/hf' }],
      instances: 1,
    });
    expect(parseServiceRequest({ ...CONFIG, containers: [{ ...CONTAINER, port: undefined }] }).port).toBe(8000);
  });

  it('mounts OSS, and knows instances and group', () => {
    const metadata = { name: 'qwen2_cpt', instance: 3, group: 'qwen2' };
    const storage = [{ mount_path: '/model', oss: { path: 'oss://bucket/hf/' } }];
    expect(parseServiceRequest({ ...CONFIG, metadata, storage })).toMatchObject({
      ...{ instances: 3, group: 'qwen2', mounts: [{ mountPath: '/model', nasPath: 'bucket/hf' }] },
    });
  });

  it.each([
    ['no name', { metadata: {} }],
    ['no containers', { containers: undefined }],
    ['no image', { containers: [{ ...CONTAINER, image: '' }] }],
    ['no script', { containers: [{ ...CONTAINER, script: undefined }] }],
  ])('asks for what is missing: %s', (_, change) => {
    expect(() => parseServiceRequest({ ...CONFIG, ...change })).toThrow(
      expect.objectContaining({ code: 'MissingParameter' }),
    );
  });

  it.each([
    ['a name with capitals', { metadata: { name: 'Qwen' } }],
    ['a name with a way out', { metadata: { name: '../x' } }],
    ['a short name', { metadata: { name: 'ab' } }],
    ['a hundred instances', { metadata: { name: 'abc', instance: 100 } }],
    ['a group of its own name', { metadata: { name: 'abc', group: 'abc' } }],
    ['two containers', { containers: [CONTAINER, CONTAINER] }],
    ['a port that is none', { containers: [{ ...CONTAINER, port: 70_000 }] }],
    ['an environment without names', { containers: [{ ...CONTAINER, env: [{ value: '1' }] }] }],
    ['CPFS', { storage: [{ mount_path: '/model', cpfs: { path: '/' } }] }],
  ])('refuses %s', (_, change) => {
    expect(() => parseServiceRequest({ ...CONFIG, ...change })).toThrow(
      expect.objectContaining({ code: 'InvalidParameter' }),
    );
  });
});

describe('rewritePort', () => {
  it.each([
    ['vllm serve /m --port 8000', 'vllm serve /m --port 41000'],
    ['serve --port=8000 --x 8000', 'serve --port=41000 --x 8000'],
    ["a --port  8000 && (b --port '8000'; c --port 8000)", "a --port  41000 && (b --port '41000'; c --port 41000)"],
    ['serve --port 8000;', 'serve --port 41000;'],
  ])('gives %s another port', (script, expected) => {
    expect(rewritePort(script, 8000, 41_000)).toBe(expected);
  });

  it.each(['serve', 'serve --port 80001', 'serve --port 9000', 'serve --base-port 8000', 'serve --port$X 8000'])(
    'finds none in %s',
    (script) => {
      expect(rewritePort(script, 8000, 41_000)).toBeUndefined();
    },
  );
});

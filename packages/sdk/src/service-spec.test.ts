import { describe, expect, it } from 'vitest';
import { parseServiceSpec, type ServiceSpecInput, toServiceJson } from './service-spec.ts';

const small: ServiceSpecInput = {
  name: 'qwen2_72b_cpt',
  checkpoint: { uri: 'nas://29ba748c5f.cn-hangzhou/models/qwen2-72b' },
  image: 'registry/vllm:0.9',
  instanceType: 'ecs.gn7e-c16g1.32xlarge',
};

describe('parseServiceSpec', () => {
  it('fills in the defaults', () => {
    expect(parseServiceSpec(small)).toEqual({
      ...small,
      checkpoint: { ...small.checkpoint, mountPath: '/model' },
      ...{ servedModelName: 'qwen2_72b_cpt', port: 8000, instances: 1 },
    });
  });

  it.each<[string, object, RegExp]>([
    ['a name with capitals', { name: 'Qwen' }, /\/name is "Qwen"; it must be 3 to 63 lower-case/],
    ['a name with a dash', { name: 'qwen2-cpt' }, /\/name/],
    ['CPFS', { checkpoint: { uri: 'cpfs://x.y/model' } }, /\/checkpoint\/uri .* a folder on NAS or OSS/],
    ['a served name with a space', { servedModelName: 'a b' }, /\/servedModelName/],
    ['port 0', { port: 0 }, /\/port is 0/],
    ['a misspelt field', { instancetype: 'x' }, /did you mean "instanceType"/],
    ['no machine', { instanceType: undefined }, /neither instanceType nor resource/],
    ['two machines', { resource: { resourceId: 'eas-r-1' } }, /both instanceType and resource/],
  ])('refuses %s', (_, change, message) => {
    const value = JSON.parse(JSON.stringify({ ...small, ...change }));
    expect(() => parseServiceSpec(value)).toThrow(message);
  });
});

describe('toServiceJson', () => {
  it('serves the mounted checkpoint with vllm', () => {
    const spec = parseServiceSpec({
      ...small,
      ...{ servedModelName: 'qwen2-72b-cpt', tensorParallelSize: 8, maxModelLength: 32_768, instances: 2 },
      vpc: { vpcId: 'vpc-1', switchId: 'vsw-1', securityGroupId: 'sg-1' },
    });
    expect(toServiceJson(spec, '268')).toEqual({
      metadata: { name: 'qwen2_72b_cpt', instance: 2, workspace_id: '268' },
      cloud: {
        computing: { instances: [{ type: 'ecs.gn7e-c16g1.32xlarge' }] },
        networking: { vpc_id: 'vpc-1', vswitch_id: 'vsw-1', security_group_id: 'sg-1' },
      },
      storage: [
        {
          mount_path: '/model',
          nfs: { server: '29ba748c5f.cn-hangzhou.nas.aliyuncs.com', path: '/models/qwen2-72b', readOnly: true },
        },
      ],
      containers: [
        {
          ...{ image: 'registry/vllm:0.9', port: 8000 },
          script:
            'vllm serve /model --served-model-name qwen2-72b-cpt --port 8000 --tensor-parallel-size 8 --max-model-len 32768',
        },
      ],
    });
  });

  it('runs in a resource group instead', () => {
    const { instanceType, ...rest } = small;
    const spec = parseServiceSpec({
      ...rest,
      resource: { resourceId: 'eas-r-1', gpus: 2, cpus: 16, memoryMiB: 65_536 },
    });
    const json = toServiceJson(spec);
    expect(json.metadata).toEqual({
      name: 'qwen2_72b_cpt',
      instance: 1,
      resource: 'eas-r-1',
      gpu: 2,
      cpu: 16,
      memory: 65_536,
    });
    expect(json).not.toHaveProperty('cloud');
    expect(JSON.stringify(json.containers)).toContain('--tensor-parallel-size 2');
  });

  it('mounts OSS, and asks for a group, shared memory and disk', () => {
    const uri = 'oss://bucket.oss-cn-hangzhou-internal.aliyuncs.com/ckpt-hf';
    const spec = parseServiceSpec({
      ...small,
      ...{ checkpoint: { uri }, group: 'qwen2_cpt', sharedMemoryGiB: 200, diskGiB: 200 },
    });
    expect(toServiceJson(spec)).toMatchObject({
      metadata: { group: 'qwen2_cpt', shm_size: 200, disk: '200Gi' },
      storage: [
        {
          mount_path: '/model',
          oss: {
            ...{ path: 'oss://bucket/ckpt-hf/', endpoint: 'oss-cn-hangzhou-internal.aliyuncs.com', readOnly: true },
          },
        },
      ],
    });
  });

  it('mounts the root of a file system', () => {
    const spec = parseServiceSpec({ ...small, checkpoint: { uri: 'nas://fs1.cn-hangzhou' } });
    expect(toServiceJson(spec).storage).toMatchObject([
      { nfs: { server: 'fs1.cn-hangzhou.nas.aliyuncs.com', path: '/' } },
    ]);
  });
});

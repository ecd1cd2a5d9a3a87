import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { run72B } from '../../test/sample-specs.ts';
import { megatronCommand } from '../megatron-command.ts';
import { toCreateJob } from './dlc.ts';

describe('toCreateJob', () => {
  it('is a master and three workers of the public pool', () => {
    const spec = run72B();
    expect(toCreateJob(spec, '268')).toEqual({
      DisplayName: 'qwen2-72b-cpt',
      JobType: 'PyTorchJob',
      JobSpecs: [
        { Type: 'Master', Image: spec.image, PodCount: 1, EcsSpec: 'ecs.gn7e-c16g1.32xlarge', RestartPolicy: 'Never' },
        { Type: 'Worker', Image: spec.image, PodCount: 3, EcsSpec: 'ecs.gn7e-c16g1.32xlarge', RestartPolicy: 'Never' },
      ],
      UserCommand: megatronCommand(spec),
      WorkspaceId: '268',
      DataSources: [
        { Uri: 'nas://29ba748c5f.cn-hangzhou/cpt/data', MountPath: '/mnt/data' },
        { Uri: 'nas://29ba748c5f.cn-hangzhou/cpt/output', MountPath: '/mnt/output' },
      ],
    });
  });

  it('is a master alone on one node', () => {
    const spec = run72B({}, { compute: { nodes: 1, gpusPerNode: 8, ecsSpec: 'ecs.a' } });
    expect(toCreateJob(spec).JobSpecs.map(({ Type, PodCount }) => [Type, PodCount])).toEqual([['Master', 1]]);
  });

  it('asks a quota for resources in text', () => {
    const spec = run72B(
      {},
      {
        compute: {
          ...{ nodes: 2, gpusPerNode: 8, quotaId: 'quota-1', cpusPerNode: 96 },
          ...{ memoryGiBPerNode: 900, sharedMemoryGiBPerNode: 200, gpuType: 'GU100' },
        },
      },
    );
    const body = toCreateJob(spec);
    expect(body.ResourceId).toBe('quota-1');
    for (const group of body.JobSpecs) {
      expect(group.EcsSpec).toBeUndefined();
      expect(group.ResourceConfig).toEqual({
        ...{ GPU: '8', GPUType: 'GU100', CPU: '96', Memory: '900Gi', SharedMemory: '200Gi' },
      });
    }
  });

  it('carries network, tags, environment, datasets and limits', () => {
    const spec = run72B(
      { job_name: 'law-cpt' },
      {
        output: { datasetId: 'd-out', mountPath: '/mnt/output' },
        vpc: { vpcId: 'vpc-1', switchId: 'vsw-1', securityGroupId: 'sg-1' },
        ...{ tags: { team: 'law' }, environment: { NCCL_DEBUG: 'WARN' }, priority: 5, maxRunningTimeMinutes: 90 },
        workspaceId: '77',
      },
    );
    expect(toCreateJob(spec, '268')).toMatchObject({
      DisplayName: 'law-cpt',
      WorkspaceId: '77',
      Envs: { NCCL_DEBUG: 'WARN' },
      UserVpc: { VpcId: 'vpc-1', SwitchId: 'vsw-1', SecurityGroupId: 'sg-1' },
      Priority: 5,
      JobMaxRunningTimeMinutes: 90,
      Settings: { Tags: { team: 'law' } },
    });
    expect(toCreateJob(spec).DataSources?.[1]).toEqual({ DataSourceId: 'd-out', MountPath: '/mnt/output' });
  });

  it('refuses more bytes than PAI takes, counted as UTF-8', () => {
    const withText = (length: number) => run72B({}, { environment: { NOTES: '数'.repeat(length) } });
    const bare = Buffer.byteLength(JSON.stringify(toCreateJob(withText(0))));
    const most = Math.floor((65_536 - bare) / 3);
    expect(Buffer.byteLength(JSON.stringify(toCreateJob(withText(most))))).toBeLessThanOrEqual(65_536);
    const error = (() => {
      try {
        return toCreateJob(withText(most + 1));
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(CptError.isInstance(error) && error.code).toBe('CPT_INPUT_JOB_TOO_LARGE');
  });
});

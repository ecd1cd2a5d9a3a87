import { describe, expect, it } from 'vitest';
import { parseJobRequest } from './job-request.ts';

const SPEC = { Type: 'Worker', Image: 'r/tiny-megatron:latest', PodCount: 2, EcsSpec: 'ecs.c6.large' };
const BODY = { DisplayName: 'cpt', JobType: 'PyTorchJob', JobSpecs: [SPEC], UserCommand: 'true' };

describe('parseJobRequest', () => {
  it('reads what decides how a job runs', () => {
    const body = {
      ...BODY,
      WorkspaceId: '268',
      ResourceId: 'quota1',
      Priority: 4,
      JobSpecs: [
        { ...SPEC, Type: 'Master', PodCount: 1, EcsSpec: undefined, ResourceConfig: { GPU: '8', CPU: '90' } },
        { ...SPEC, RestartPolicy: 'OnFailure' },
      ],
      Envs: { A: '1', B: '1' },
      CustomEnvs: [{ Key: 'B', Value: '2', Visible: 'public' }],
      DataSources: [{ Uri: 'nas://fs.cn-hangzhou/x', MountPath: '/mnt' }],
      JobMaxRunningTimeMinutes: 90,
      Settings: { Tags: { run: 'r1' }, TerminationGracePeriodSeconds: 30 },
    };
    expect(parseJobRequest(body)).toEqual({
      displayName: 'cpt',
      command: 'true',
      workspaceId: '268',
      tags: { run: 'r1' },
      specs: [
        { type: 'Master', image: 'r/tiny-megatron:latest', podCount: 1, gpus: 8, restartPolicy: 'Never' },
        {
          ...{ type: 'Worker', image: 'r/tiny-megatron:latest', podCount: 2, gpus: 0 },
          ...{ restartPolicy: 'OnFailure', ecsSpec: 'ecs.c6.large' },
        },
      ],
      env: { A: '1', B: '2' },
      mounts: [{ mountPath: '/mnt', nasPath: 'fs/x' }],
      maxRunningMs: 90 * 60_000,
      graceMs: 30_000,
      demand: { 'machines ecs.c6.large': 2, 'quota quota1': 8 },
      priority: 4,
      isSpot: false,
      isSanityChecked: false,
      reservedMs: undefined,
    });
    expect(parseJobRequest(BODY)).toMatchObject({ workspaceId: '', maxRunningMs: undefined, mounts: [], env: {} });
  });

  it.each(['DisplayName', 'JobType', 'JobSpecs', 'UserCommand'])('asks for %s', (name) => {
    for (const value of [undefined, '']) {
      expect(() => parseJobRequest({ ...BODY, [name]: value })).toThrow(
        expect.objectContaining({ code: 'MissingParameter', message: expect.stringContaining(name) }),
      );
    }
  });

  it.each(['Type', 'Image', 'PodCount'])('asks for JobSpecs[].%s', (name) => {
    expect(() => parseJobRequest({ ...BODY, JobSpecs: [SPEC, { ...SPEC, [name]: undefined }] })).toThrow(
      expect.objectContaining({ code: 'MissingParameter', message: expect.stringContaining(`JobSpecs[1].${name}`) }),
    );
  });

  it.each([
    ['a number as a name', { DisplayName: 7 }],
    ['another job type', { JobType: 'TFJob' }],
    ['no specs', { JobSpecs: [] }],
    ['specs that are no list', { JobSpecs: SPEC }],
    ['a spec that is no object', { JobSpecs: ['Worker'] }],
    ['another pod type', { JobSpecs: [{ ...SPEC, Type: 'PS' }] }],
    ['a pod count of 0', { JobSpecs: [{ ...SPEC, PodCount: 0 }] }],
    ['a pod count as text', { JobSpecs: [{ ...SPEC, PodCount: '2' }] }],
    ['more pods than a machine bears', { JobSpecs: [{ ...SPEC, PodCount: 65 }] }],
    ['two masters', { JobSpecs: [{ ...SPEC, Type: 'Master' }] }],
    ['no resources', { JobSpecs: [{ ...SPEC, EcsSpec: undefined }] }],
    ['two kinds of resources', { JobSpecs: [{ ...SPEC, ResourceConfig: {} }] }],
    ['resources that are numbers', { JobSpecs: [{ ...SPEC, EcsSpec: undefined, ResourceConfig: { GPU: 8 } }] }],
    ['an environment value that is no text', { Envs: { A: 1 } }],
    ['a priority of 10', { Priority: 10 }],
    ['a limit of no time', { JobMaxRunningTimeMinutes: 0 }],
    ['tags that are no object', { Settings: { Tags: 'x' } }],
    ['settings that are no object', { Settings: 'x' }],
    ['OSS', { DataSources: [{ Uri: 'oss://b/x', MountPath: '/x' }] }],
  ])('refuses %s', (_, change) => {
    expect(() => parseJobRequest({ ...BODY, ...change })).toThrow(
      expect.objectContaining({ code: 'InvalidParameter' }),
    );
  });
});

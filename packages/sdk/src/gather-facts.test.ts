import { describe, expect, it } from 'vitest';
import { run72B } from '../test/sample-specs.ts';
import { paiError, type Script, scriptedPai } from '../test/scripted-pai.ts';
import { gatherFacts } from './gather-facts.ts';
import { planRun } from './plan/plan.ts';
import { Quotas } from './quotas.ts';
import { Workspaces } from './workspaces.ts';

const amount = (GPU: string, CPU = '0', Memory = '0Gi') => ({ GPU, CPU, Memory, GPUType: 'GU108' });
const quota = {
  ...{ QuotaId: 'quota1', QuotaName: 'team', ResourceType: 'Lingjun', Status: 'Ready' },
  QuotaConfig: { UserVpc: { VpcId: 'vpc-1' } },
  QuotaDetails: { AllocatableQuota: amount('32', '512', '4000Gi'), AllocatedQuota: amount('8', '128', '1024000Mi') },
};
const onQuota = run72B({}, { compute: { nodes: 4, gpusPerNode: 8, quotaId: 'quota1' } });

describe('quotas', () => {
  it('are free by what is allocatable less what is allocated', async () => {
    const pai = scriptedPai({ GetQuota: () => quota });
    expect(await new Quotas(pai).get('quota1')).toEqual({
      ...{ quotaId: 'quota1', name: 'team', resourceType: 'Lingjun', status: 'Ready', gpuType: 'GU108' },
      vpcId: 'vpc-1',
      allocatable: { gpus: 32, cpus: 512, memoryGiB: 4000 },
      allocated: { gpus: 8, cpus: 128, memoryGiB: 1000 },
      free: { gpus: 24, cpus: 384, memoryGiB: 3000 },
    });
    expect(pai.calls[0]?.input).toEqual({ path: { QuotaId: 'quota1' }, query: { Verbose: true } });
  });

  it('are listed of every resource type: PAI’s own default is ECS alone', async () => {
    const pai = scriptedPai({
      ListQuotas: ({ query }) => ({ Quotas: query.ResourceType === 'Lingjun' ? [quota] : [], TotalCount: 1 }),
    });
    const ids: string[] = [];
    for await (const { quotaId } of new Quotas(pai).list()) ids.push(quotaId);
    expect(ids).toEqual(['quota1']);
    expect(pai.calls.map(({ input }) => (input.query as { ResourceType: string }).ResourceType)).toEqual([
      ...['ECS', 'Lingjun', 'ACS'],
    ]);
  });
});

describe('gatherFacts', () => {
  it('says how many GPUs of the quota are free and where that stands, and the plan blocks on it', async () => {
    const { facts, unreached } = await gatherFacts(scriptedPai({ GetQuota: () => quota }), onQuota);
    expect(facts.platform).toEqual({
      ...{ regionId: 'cn-hangzhou', quotaGpus: 24, quotaVpcId: 'vpc-1' },
      source: 'GetQuota quota1 (team): 32 GPUs allocatable, 8 allocated',
    });
    expect(unreached).toEqual([]);
    const finding = planRun(onQuota, facts).findings.find(({ check }) => check === 'P16');
    expect(finding).toMatchObject({ level: 'block', numbers: { quotaGpus: 24, gpus: 32 } });
    expect(finding?.message).toContain('24 free GPUs (GetQuota quota1 (team): 32 GPUs allocatable, 8 allocated)');
  });

  it('G1, G7: looks up where the output lies that is named by its id, and the plan refuses all but NAS', async () => {
    const spec = run72B({}, { ...onQuota, output: { datasetId: 'd-1', mountPath: '/mnt/output' } });
    const lies = (DataSourceType: string, Uri: string): Script => ({
      GetQuota: () => quota,
      GetDataset: () => ({ DatasetId: 'd-1', Name: 'out', DataSourceType, Uri }),
    });
    const oss = await gatherFacts(scriptedPai(lies('OSS', 'oss://bucket.oss-cn-hangzhou/out/')), spec);
    expect(oss.facts.platform?.datasets).toEqual([
      { datasetId: 'd-1', uri: 'oss://bucket.oss-cn-hangzhou/out/', sourceType: 'OSS' },
    ]);
    const blocks = (facts: typeof oss.facts) =>
      planRun(spec, facts).findings.filter(({ check, level }) => check === 'P16' && level === 'block');
    expect(blocks(oss.facts).some(({ message }) => /can write to NAS only/.test(message))).toBe(true);
    const nas = await gatherFacts(scriptedPai(lies('NAS', 'nas://fs.cn-hangzhou/out/')), spec);
    expect(blocks(nas.facts).map(({ message }) => message)).toEqual([expect.stringContaining('24 free GPUs')]);
  });

  it('looks a machine type up among ECS and Lingjun', async () => {
    const spec = { InstanceType: 'ecs.gn7e-c16g1.32xlarge', Gpu: 4, GpuMemory: 40, IsAvailable: false };
    const script: Script = {
      ListEcsSpecs: ({ query }) => ({ EcsSpecs: query.ResourceType === 'Lingjun' ? [spec] : [], TotalCount: 1 }),
    };
    const { facts } = await gatherFacts(scriptedPai(script), run72B());
    expect(facts.platform).toEqual({
      ...{ regionId: 'cn-hangzhou', instanceGpus: 4, instanceGpuMemoryGiB: 40, isInstanceAvailable: false },
      source: 'ListEcsSpecs Lingjun ecs.gn7e-c16g1.32xlarge',
    });
    const blocks = planRun(run72B(), facts).findings.filter(({ check, level }) => check === 'P16' && level === 'block');
    expect(blocks.map(({ message }) => message.replace(/ \(List.*/, ''))).toEqual([
      'ecs.gn7e-c16g1.32xlarge is out of stock now',
      'ecs.gn7e-c16g1.32xlarge has 4 GPUs, the run is written for 8 on each node',
      'a GPU of ecs.gn7e-c16g1.32xlarge has 40 GiB, the plan counts on 80',
    ]);
    const none = await gatherFacts(scriptedPai({ ListEcsSpecs: () => ({ EcsSpecs: [], TotalCount: 0 }) }), run72B());
    expect(planRun(run72B(), none.facts).findings.some(({ message }) => /has no machine type/.test(message))).toBe(
      true,
    );
  });

  it('row 55: goes on without what PAI does not tell, and keeps what is known', async () => {
    const script: Script = {
      GetQuota: () => {
        throw paiError('CPT_PAI_FORBIDDEN');
      },
    };
    const dataset = { tokens: 1, sequences: 1, documents: 1, source: 'x.idx' };
    const known = { dataset, platform: { torchVersion: '2.10.0' } };
    const { facts, unreached } = await gatherFacts(scriptedPai(script), onQuota, known);
    expect(facts).toEqual({ dataset, platform: { regionId: 'cn-hangzhou', torchVersion: '2.10.0' } });
    expect(unreached).toEqual(['scripted CPT_PAI_FORBIDDEN']);
  });
});

describe('workspaces', () => {
  const activation = (script: Script) => new Workspaces(scriptedPai(script)).activation();
  const workspaces = (...Workspaces: { WorkspaceId: string; WorkspaceName: string; Status: string }[]): Script => ({
    ListWorkspaces: () => ({ Workspaces, TotalCount: Workspaces.length }),
  });

  it('show whether PAI is activated', async () => {
    const one = { WorkspaceId: '268', WorkspaceName: 'law' };
    expect(await activation(workspaces({ ...one, Status: 'ENABLED' }))).toEqual({
      ...{ isActivated: true, reason: 'workspace 268 (law) is enabled' },
    });
    expect((await activation(workspaces())).reason).toMatch(/no workspace in cn-hangzhou: activate PAI/);
    expect((await activation(workspaces({ ...one, Status: 'DISABLED' }))).isActivated).toBe(false);
    const forbidden: Script = {
      ListWorkspaces: () => {
        throw paiError('CPT_PAI_FORBIDDEN');
      },
    };
    expect((await activation(forbidden)).isActivated).toBe(false);
  });
});

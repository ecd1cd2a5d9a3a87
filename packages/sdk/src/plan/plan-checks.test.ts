import { describe, expect, it } from 'vitest';
import { run72B, sample72B } from '../../test/sample-specs.ts';
import type { CptRunSpecInput } from '../run-spec.ts';
import type { Finding } from '../schemas.ts';
import { checkpointBytes } from './disk.ts';
import { planRun } from './plan.ts';
import type { PlanFacts } from './plan-facts.ts';
import { planInput } from './plan-input.ts';
import { resumeOutcome } from './resume.ts';
import { timeUse } from './time.ts';

type Hyper = CptRunSpecInput['hyperParameters'];
const found = (check: string, facts: PlanFacts = {}, hyper: Hyper = {}, parts: Partial<CptRunSpecInput> = {}) =>
  planRun(run72B(hyper, parts), facts).findings.filter((finding) => finding.check === check);
const levels = (findings: readonly Finding[]): string[] => findings.map(({ level }) => level);

/** Parameters of Qwen2-72B: 145.4 GB of bf16 (plan-and-monitoring.md §3). */
const PARAMETERS = 72_706_203_648;
const billion: Hyper = { train_tokens: 1_000_000_000, warmup_tokens: 10_000_000 };

describe('P10 disk', () => {
  it('a checkpoint is 145.4 GB of weights, or 1,018 GB with the optimizer', () => {
    expect(checkpointBytes(planInput(run72B(), {})).checkpoint).toBe(PARAMETERS * 2);
    expect(checkpointBytes(planInput(run72B(), { launcher: { savesOptimizer: true } })).checkpoint / 1e9).toBeCloseTo(
      1017.9,
      1,
    );
  });

  it('1 B tokens: 30 periodic saves and the last, one half written, and the converted copy', () => {
    const [disk] = found('P10', {}, billion);
    expect(disk).toMatchObject({ level: 'info', numbers: { saves: 31, need: PARAMETERS * 2 * 33 } });
    expect(disk?.message).toContain('145.4 GB');
    expect(disk?.message).toContain('= 4.8 TB');
  });

  it('blocks when it is more than 90 % of what is free', () => {
    const need = PARAMETERS * 2 * 3; // one save, one half written, the copy
    const enough = Math.ceil(need / 0.9);
    expect(levels(found('P10', { storage: { freeBytes: enough } }))).toEqual(['info']);
    const [block] = found('P10', { storage: { freeBytes: enough - 10 } });
    expect(block).toMatchObject({ level: 'block', numbers: { need } });
    expect(planRun(sample72B, { storage: { freeBytes: 1e9 } }).isBlocked).toBe(true);
  });
});

describe('P11 resume', () => {
  it.each([
    [false, false, false, 'from-base'],
    [true, false, false, 'from-base'],
    [false, true, false, 'from-base'],
    [true, true, false, 'from-base'],
    [false, false, true, 'weights-only'],
    [true, false, true, 'weights-only'],
    [false, true, true, 'weights-only'],
    [true, true, true, 'exact'],
  ] as const)('saves %s, loads %s, from output %s: %s', (savesOptimizer, loadsOptimizer, loadsFromOutput, outcome) => {
    expect(resumeOutcome({ savesOptimizer, loadsOptimizer, loadsFromOutput })).toBe(outcome);
    const launcher = { savesOptimizer, loadsOptimizer, loadsFromOutput };
    expect(levels(found('P11', { launcher }))).toEqual([outcome === 'exact' ? 'info' : 'warn']);
  });

  it('the launch scripts as they are begin again at iteration 0', () => {
    expect(found('P11')[0]?.message).toBe(
      'a failure ends the job; a new start begins again at iteration 0: --load names the base checkpoint, not the output',
    );
    expect(found('P11', { launcher: { restartsByItself: true } })[0]?.message).toContain('AIMaster restarts the job');
  });
});

it('P12: validation every 10,000 iterations, so never in a short run', () => {
  expect(found('P12')).toMatchObject([{ level: 'info', message: expect.stringContaining('no validation loss') }]);
  const [long] = found('P12', {}, { ...billion, train_tokens: 32_768 * 25_000 });
  expect(long).toMatchObject({ numbers: { evaluations: 2 } });
});

describe('P13 time and cost', () => {
  it('the guide’s run takes 3.5 min on 32 A100 at 35 %, 66 s on H100', () => {
    // plan-and-monitoring.md §3: 7.3e17 operations.
    const use = timeUse(planInput(run72B(), {}));
    expect(use.flops / 1e17).toBeCloseTo(7.3, 1);
    expect(use.training / 60).toBeCloseTo(3.5, 1);
    const fast = timeUse(planInput(run72B(), { gpu: { peakTflops: 989, utilization: 0.35 } }));
    expect(Math.round(fast.training)).toBe(66);
    expect(found('P13')[0]?.message).toContain('312 TFLOP/s × 35 % (assumed), 2.4 min to 4.1 min at 50 to 30 %');
    const known = found('P13', { gpu: { utilization: 0.4 } })[0];
    expect(known?.numbers.fastest).toBe(known?.numbers.slowest);
  });

  it('1 B tokens at 40 % are 30 h', () => {
    const use = timeUse(planInput(run72B(billion), { gpu: { peakTflops: 312, utilization: 0.4 } }));
    expect(use.training / 3600).toBeGreaterThan(29.5);
    expect(use.training / 3600).toBeLessThan(32);
  });

  it('G2: costs GPU hours, storage and transfer at the prices given', () => {
    const perNodeHour = { 'ecs.gn7e-c16g1.32xlarge': 280 };
    const prices = { currency: 'CNY', perNodeHour, perGBMonth: 0.35, perGBTransferred: 0.5, keepMonths: 2 };
    const cost = found('P13', { prices }).at(-1);
    const hours = timeUse(planInput(run72B(), {})).total / 3600;
    // One checkpoint, one half written and the converted copy, each of 145.4 GB; the copy leaves once.
    const [stored, moved] = [(PARAMETERS * 2 * 3) / 1e9, (PARAMETERS * 2) / 1e9];
    expect(cost?.numbers.cost).toBeCloseTo(4 * 280 * hours + stored * 2 * 0.35 + moved * 0.5, 6);
    expect(cost?.numbers.gpuHours).toBeCloseTo(32 * hours, 9);
    expect(cost?.message).toMatch(
      /^4 nodes × 0\.\d\d h × 280 \+ 436\.2 GB × 2 months × 0\.35 a GB \+ 145\.4 GB transferred × 0\.5 a GB = \d+\.?\d* CNY$/,
    );
    expect(found('P13', { prices: { ...prices, most: 1 } }).at(-1)).toMatchObject({ level: 'warn' });
  });

  it('names the prices that are missing, and the amounts they would be for', () => {
    const prices = { currency: 'CNY', perNodeHour: { other: 1 } };
    expect(found('P13', { prices }).at(-1)?.message).toMatch(
      /^the price table has no ecs\.gn7e-c16g1\.32xlarge, price of storage, price of transfer; the run takes [\d.]+ GPU hours, 436\.2 GB stored, 145\.4 GB transferred$/,
    );
    expect(found('P13').at(-1)?.advice).toContain('give your prices');
  });

  it('warns of a time limit that is too short', () => {
    expect(found('P13')[0]?.advice).toContain('set maxRunningTimeMinutes to');
    expect(found('P13', {}, {}, { maxRunningTimeMinutes: 5 })[0]?.level).toBe('warn');
    expect(found('P13', {}, {}, { maxRunningTimeMinutes: 120 })[0]?.level).toBe('info');
  });
});

it('P14: an iteration or a start that is longer than AIMaster waits', () => {
  expect(found('P14')).toEqual([]);
  expect(found('P14', { launcher: { hangSeconds: 4 } })).toHaveLength(2);
  // 145.4 GB at 50 MB/s are 2908 s.
  const [slow] = found('P14', { storage: { bytesPerSecond: 5e7 } });
  expect(slow).toMatchObject({ level: 'warn', message: expect.stringContaining('start and loading take 53.5 min') });
});

describe('P16 the place', () => {
  it.each<[PlanFacts['platform'], RegExp]>([
    [{ quotaGpus: 31 }, /the quota has 31 free GPUs, the run needs 32/],
    [{ regionId: 'cn-beijing' }, /lies in cn-hangzhou, the job runs in cn-beijing/],
    [{ torchVersion: '2.9.1' }, /torch 2.9.1; before 2.10/],
    [{ torchVersion: '1.13.0a0' }, /torch 1.13.0a0/],
    [{ isOutputWritable: false }, /may not write to \/mnt\/output/],
  ])('%j', (platform, message) => {
    const findings = found('P16', { platform: platform as NonNullable<PlanFacts['platform']> });
    const blocks = findings.filter(({ level }) => level === 'block');
    expect(blocks.map((finding) => finding.message).join('\n')).toMatch(message);
    for (const { advice } of blocks) expect(advice).toBeTruthy();
  });
  it('blocks nothing where all is well, and lists what is not known', () => {
    const known = { regionId: 'cn-hangzhou', torchVersion: '2.10.0a0', isOutputWritable: true };
    const platform = { ...known, quotaGpus: 32, quotaVpcId: 'vpc-1', nasVpcId: 'vpc-1' };
    const compute = { nodes: 4, gpusPerNode: 8, quotaId: 'q' };
    expect(found('P16', { platform }, {}, { compute })).toMatchObject([
      { level: 'info', message: 'the quota has 32 free GPUs ≥ 32' },
    ]);
    expect(found('P16').at(-1)).toMatchObject({
      ...{ level: 'info', numbers: { unknown: 3 } },
      message:
        'not known here: size and stock of the machine type; torch of the image; whether the output can be written',
    });
  });

  const vpc = { vpcId: 'vpc-1', switchId: 'vsw-1', securityGroupId: 'sg-1' };
  it.each<[string, PlanFacts['platform'], Partial<CptRunSpecInput>, RegExp]>([
    ['quota in another network', { quotaVpcId: 'vpc-2' }, { vpc }, /vpc is vpc-1, the quota runs in vpc-2/],
    ['NAS in another network', { nasVpcId: 'vpc-2' }, { vpc }, /NAS is mounted in vpc-2, the job runs in vpc-1/],
    [
      'NAS in another network than the quota',
      { nasVpcId: 'vpc-2', quotaVpcId: 'vpc-3' },
      {},
      /mounted in vpc-2, the job runs in vpc-3/,
    ],
    [
      'output on OSS behind a dataset id',
      { datasets: [{ datasetId: 'd-1', uri: 'oss://bucket.oss-cn-hangzhou/out/', sourceType: 'OSS' }] },
      { output: { datasetId: 'd-1', mountPath: '/mnt/output' } },
      /d-1 is a dataset on OSS .* NAS only/,
    ],
    [
      'dataset of another region',
      { regionId: 'cn-hangzhou', datasets: [{ datasetId: 'd-1', uri: 'nas://fs.cn-beijing/out', sourceType: 'NAS' }] },
      { output: { datasetId: 'd-1', mountPath: '/mnt/output' } },
      /lies in cn-beijing, the job runs in cn-hangzhou/,
    ],
  ])('%s', (_, platform, parts, message) => {
    const blocks = found('P16', { platform: platform as NonNullable<PlanFacts['platform']> }, {}, parts).filter(
      ({ level }) => level === 'block',
    );
    expect(blocks.map((finding) => finding.message).join('\n')).toMatch(message);
  });

  it('warns of an old torch that the image’s name tells, and of a NAS without a network', () => {
    const image = 'registry.cn-hangzhou.aliyuncs.com/pai/training:pytorch2.6.0-gpu';
    expect(found('P16', {}, {}, { image })[0]).toMatchObject({
      level: 'warn',
      message: expect.stringContaining('calls itself torch 2.6.0'),
    });
    expect(found('P16').some(({ message }) => message.startsWith('no vpc'))).toBe(true);
    expect(found('P16', {}, {}, { vpc }).some(({ message }) => message.startsWith('no vpc'))).toBe(false);
  });
});

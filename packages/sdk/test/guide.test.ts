import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePlanFacts, parseRunSpec, parseTrainingLine, planRun, toCreateJob } from '../src/index.ts';
import { Jobs } from '../src/jobs.ts';
import { detectorConfigOf } from '../src/monitor/watch-job.ts';
import { Models } from '../src/registered-models.ts';
import { findTrainingTarget } from '../src/routes/gallery.ts';
import { Services } from '../src/services.ts';
import { monitorAll } from './real-logs.ts';
import { run72B, sample72B } from './sample-specs.ts';
import { pod, wireJob } from './scripted-job.ts';
import { scriptedPai } from './scripted-pai.ts';

/** Rows of PAI's guide that no other test names: docs/guide.md has the table. */

it('G3: the job runs the launch script of Pai-Megatron-Patch with its 26 arguments, in its order', () => {
  const { UserCommand, JobType } = toCreateJob(parseRunSpec(sample72B));
  expect(JobType).toBe('PyTorchJob');
  // pai-api.md §5, argument by argument.
  const words = [
    ...['dlc', '72B', '1', '32', '0.00005', '0.000005', '1024', '128', 'bf16'],
    ...['8', '4', '1', '1', 'true', 'true', 'true', 'false', 'sel', 'false', '1000'],
    ...['/mnt/data/dataset', '/mnt/data/dataset', '/mnt/data/qwen2-72b-mcore-tp8-pp4'],
    ...['1638400', '163840', '/mnt/output'],
  ];
  expect(words).toHaveLength(26);
  expect(UserCommand).toContain(`examples/qwen2" && bash run_mcore_qwen.sh ${words.join(' ')}`);
});

it('G2: the facts that docs/guide.md shows are facts, and the plan has a cost by them', () => {
  const guide = readFileSync(join(import.meta.dirname, '../../../docs/guide.md'), 'utf8');
  const facts = parsePlanFacts(JSON.parse(/```json\n([\s\S]*?)```/.exec(guide)?.[1] ?? ''));
  const cost = planRun(sample72B, facts)
    .findings.filter(({ check }) => check === 'P13')
    .at(-1);
  expect(cost?.message).toMatch(/ GB × 2 months × .* = [\d,.]+ CNY \(price list of November\)$/);
});

describe('G12: at least 1 B tokens', () => {
  const warnings = (train_tokens: number) =>
    planRun(run72B({ train_tokens, warmup_tokens: 10_000_000 })).findings.filter(
      ({ check, level, message }) => check === 'P1' && level === 'warn' && message.includes('1,000,000,000'),
    );
  it('warns below, and not from there on', () => {
    expect(warnings(32_768 * 30_517)).toHaveLength(1); // 999,981,056
    expect(warnings(32_768 * 30_517)[0]?.message).toMatch(/^999,981,056 tokens are/);
    expect(warnings(32_768 * 30_518)).toEqual([]);
  });
});

it('G13: starts at 5e-5 and warns above; a loss that spikes leads to a proposal that lowers it', () => {
  const spec = parseRunSpec(run72B({ train_tokens: 32_768 * 1000, warmup_tokens: 32_768 * 10 }));
  const levels = (learning_rate: number) =>
    planRun(run72B({ learning_rate })).findings.flatMap(({ check, level }) => (check === 'P15' ? [level] : []));
  expect([spec.hyperParameters.learning_rate, levels(5e-5), levels(1e-4)]).toEqual([5e-5, ['info'], ['warn']]);
  const lines = Array.from({ length: 80 }, (_, at) => {
    const loss = at === 70 ? 4 : 2.5 + 0.01 * Math.sin(at);
    return ` iteration ${at + 1}/ 1000 | consumed samples: ${(at + 1) * 32} | lm loss: ${loss.toExponential(6)} | grad norm: 1.000 |`;
  });
  const { changes } = monitorAll(
    lines.flatMap((line) => parseTrainingLine(line) ?? []),
    { learningRate: detectorConfigOf(spec).learningRate },
  );
  const spike = changes.find(({ incident }) => incident.kind === 'loss-spike')?.incident;
  expect(spike?.proposal.learningRate).toEqual({ factor: 0.9, from: 5e-5, to: 4.5e-5 });
});

it('G6: the quickstart route trains the card that the guide names, of the Model Gallery of PAI', async () => {
  const asked: unknown[] = [];
  const { image, ...rest } = sample72B;
  const spec = parseRunSpec({
    ...{ ...rest, route: 'quickstart' },
    output: { datasetId: 'd-1', mountPath: '/mnt/output' },
  });
  const pai = scriptedPai({
    ListModels: ({ query }) => {
      asked.push(query);
      return { Models: [], TotalCount: 0 };
    },
  });
  await expect(findTrainingTarget(pai, spec)).rejects.toMatchObject({ code: 'CPT_INPUT_INVALID' });
  expect(asked[0]).toMatchObject({
    Provider: 'pai',
    ModelName: expect.stringContaining('Qwen2-72B-Pre-trained (Megatron Edition)'),
  });
});

it('G10: status, logs and use of the GPUs are one call each', async () => {
  const pods = [pod('master-0'), pod('worker-0')];
  const jobs = new Jobs(
    scriptedPai({
      GetJob: () => wireJob('Running', pods),
      GetPodLogs: ({ path }) => ({ Logs: [`2026-11-24 ${path.PodId}`], JobId: 'dlc1', PodId: path.PodId }),
      GetJobMetrics: ({ query }) => ({
        PodMetrics: [{ PodId: `${query.MetricType}-pod`, Metrics: [{ Time: 1_795_000_000_000, Value: 97 }] }],
      }),
    }),
  );
  expect(await jobs.get('dlc1')).toMatchObject({ status: 'Running', phase: 'running' });
  expect((await jobs.logs('dlc1')).lines.join()).toContain('worker-0'); // Megatron's progress is on the last worker
  const [use] = await jobs.metrics('dlc1', { metrics: ['GpuCoreUsage'] });
  expect(use).toMatchObject({ metric: 'GpuCoreUsage', points: [{ value: 97 }] });
});

it('G14: a checkpoint whose conversion is not finished is neither registered nor served', async () => {
  const half = { list: async () => [{ name: 'config.json', bytes: 9 }], readText: async () => '{}' };
  const uri = 'nas://fs.cn-hangzhou/hf/';
  const pai = scriptedPai({});
  const registered = new Models(pai).register({ name: 'law', uri, folder: half, lineage: {} });
  await expect(registered).rejects.toMatchObject({ code: 'CPT_INPUT_CHECKPOINT_MISSING' });
  const service = { name: 'law', checkpoint: { uri }, image: 'vllm:1', instanceType: 'ecs.gn7e-c16g1.32xlarge' };
  for (const options of [{ folder: half }, {}]) {
    await expect(new Services(pai).deploy(service, options)).rejects.toMatchObject({
      code: expect.stringMatching(/^CPT_INPUT_(CHECKPOINT_MISSING|UNVERIFIED)$/),
    });
  }
  expect(pai.calls).toEqual([]);
});

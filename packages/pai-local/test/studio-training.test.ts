import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildDataset } from '@pai-cpt/mmap';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { caller, openSandbox, type Sandbox, until } from './client.ts';

const fixtures = join(import.meta.dirname, '../../../fixtures');

let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await openSandbox();
});
afterEach(() => sandbox.close());

it('really trains the tiny card of the Model Gallery on a data set named dataset', async () => {
  await buildDataset({
    inputs: [join(fixtures, 'corpus/chinese.jsonl')],
    tokenizer: join(fixtures, 'tokenizer'),
    output: join(sandbox.directory, 'nas/fs1/data/dataset'),
  });
  const { url } = await sandbox.start({ imagesDirectory: join(import.meta.dirname, '../images') });
  const studio = caller(url, '2022-01-12');
  const models = await caller(url, '2021-02-04')('ListModels', 'GET', '/api/v1/models', {
    query: { Provider: 'pai', ModelName: '"Qwen2-Tiny-Pre-trained (Megatron Edition)"' },
  });
  const { AlgorithmName, AlgorithmProvider, AlgorithmVersion } = models.body.Models[0].LatestVersion.TrainingSpec;
  const values = {
    ...{ batch_size: 2, global_batch_size: 4, sequence_length: 32, learning_rate: 5e-3, min_learning_rate: 5e-4 },
    ...{ train_tokens: 4 * 32 * 3, warmup_tokens: 0, save_interval: 2 },
  };
  const created = await studio('CreateTrainingJob', 'POST', '/api/v1/trainingjobs', {
    body: {
      ...{ TrainingJobName: 'tiny', WorkspaceId: '10001', AlgorithmName, AlgorithmProvider, AlgorithmVersion },
      HyperParameters: Object.entries(values).map(([Name, value]) => ({ Name, Value: String(value) })),
      InputChannels: [{ Name: 'train', InputUri: 'nas://fs1.cn-hangzhou/data/' }],
      OutputChannels: [{ Name: 'output', OutputUri: 'nas://fs1.cn-hangzhou/output/' }],
      ComputeResource: { EcsSpec: 'ecs.local.1x', EcsCount: 1 },
    },
  });
  const path = `/api/v1/trainingjobs/${created.body.TrainingJobId}`;
  const job = await until(
    () => studio('GetTrainingJob', 'GET', path),
    ({ body }) => ['Succeed', 'Failed', 'InitializeFailed'].includes(body.Status),
    50_000,
  );
  const logs = await studio('ListTrainingJobLogs', 'GET', `${path}/logs`, { query: { PageSize: '200' } });
  expect(job.body.Status, logs.body.Logs.join('\n')).toBe('Succeed');
  const metrics = await studio('ListTrainingJobMetrics', 'GET', `${path}/metrics`, { query: { Name: 'lm loss' } });
  expect(metrics.body.TotalCount).toBe(3);
  // Megatron's checkpoint lands in the sub-folder "checkpoint" of the output, at iteration 2 and at the end.
  const saved = join(sandbox.directory, 'nas/fs1/output/checkpoint');
  const [run] = await readdir(saved);
  expect(run).toMatch(/^pretrain-mcore-qwen2-tiny-lr-0\.005-.*-tp-1-pp-2-.*-ti-3-wi-0$/);
  expect((await readdir(join(saved, run as string))).sort()).toEqual([
    ...['iter_0000002', 'iter_0000003', 'latest_checkpointed_iteration.txt'],
  ]);
});

import { NAS, REGION } from './demo-paths.ts';

const SEQUENCE_LENGTH = 64;
const GLOBAL_BATCH_SIZE = 16;
const ITERATIONS = 400;

/**
 * The demo's run: two pods, a Qwen2 of 312 k parameters, TP 2 × PP 2. It starts from random weights, because no base model
 * is on a fresh machine; everything else is what a run of 72B has.
 */
export const demoRunSpec = {
  model: 'qwen2-tiny',
  hyperParameters: {
    job_name: 'qwen2-tiny-cpt',
    batch_size: 4,
    global_batch_size: GLOBAL_BATCH_SIZE,
    learning_rate: 3e-3,
    min_learning_rate: 3e-4,
    sequence_length: SEQUENCE_LENGTH,
    pad_length: SEQUENCE_LENGTH,
    save_interval: ITERATIONS / 2,
    train_tokens: ITERATIONS * GLOBAL_BATCH_SIZE * SEQUENCE_LENGTH,
    warmup_tokens: (ITERATIONS / 20) * GLOBAL_BATCH_SIZE * SEQUENCE_LENGTH,
  },
  parallel: { tensorParallelSize: 2, pipelineParallelSize: 2 },
  data: { train: '/mnt/data/dataset', validation: '/mnt/data/dataset_valid' },
  dataSources: [{ uri: `nas://${NAS}.${REGION}/data`, mountPath: '/mnt/data' }],
  output: { uri: `nas://${NAS}.${REGION}/output`, mountPath: '/mnt/output' },
  compute: { nodes: 2, gpusPerNode: 2, ecsSpec: 'ecs.local.2x' },
  image: 'pai-local/tiny-megatron:latest',
  maxRunningTimeMinutes: 10,
};

/** The EAS service that serves the converted checkpoint from the same NAS. */
export const demoServiceSpec = {
  name: 'qwen2_tiny_cpt',
  image: 'pai-local/tiny-vllm:latest',
  checkpoint: { uri: `nas://${NAS}.${REGION}/models/qwen2-tiny-cpt`, mountPath: '/model' },
  servedModelName: 'qwen2-tiny-cpt',
  instances: 1,
  instanceType: 'ecs.local.2x',
  maxModelLength: 256,
};

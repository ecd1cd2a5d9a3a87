import { ALGORITHMS, type Algorithm, PROVIDER } from './algorithms.ts';
import type { ModelRecord } from './registry.ts';

const PUBLISHED_AT = Date.parse('2024-06-07T00:00:00Z');

/** A card of the Model Gallery: what to train with, and what to serve it with. */
function card(title: string, size: string, algorithm: Algorithm, ecs: { spec: string; count: number }): ModelRecord {
  const defaults = algorithm.spec.HyperParameters.map(({ Name, DefaultValue }) => ({ Name, Value: DefaultValue }));
  const trainingSpec = {
    AlgorithmName: algorithm.name,
    AlgorithmProvider: PROVIDER,
    AlgorithmVersion: algorithm.version,
    HyperParameters: defaults,
    InputChannels: [],
    OutputChannels: [],
    ComputeResource: { EcsSpec: ecs.spec, EcsCount: ecs.count },
    Scheduler: { MaxRunningTimeInSeconds: 2_592_000 },
  };
  const inferenceSpec = {
    containers: [{ image: 'pai-local/tiny-vllm:1.0', port: 8000, script: 'vllm serve /model --port 8000' }],
    metadata: { instance: 1 },
  };
  return {
    kind: 'model',
    modelId: `model-${algorithm.id}`,
    sequence: 0,
    workspaceId: '',
    provider: PROVIDER,
    request: {
      ...{
        ModelName: title,
        ModelDescription: title,
        Domain: 'nlp',
        Task: 'large-language-model',
        Origin: 'ModelScope',
      },
      ...{ ModelType: 'Checkpoint', Accessibility: 'PUBLIC' },
      Labels: [{ Key: 'modelSize', Value: size }],
    },
    createdAt: PUBLISHED_AT,
    versions: [
      {
        versionName: '0.1.0',
        createdAt: PUBLISHED_AT,
        request: {
          Uri: `oss://pai-quickstart.oss-cn-hangzhou-internal.aliyuncs.com/modelscope/qwen2-${size.toLowerCase()}-megatron/`,
          ...{ FormatType: 'Megatron', FrameworkType: 'PyTorch', SourceType: 'Custom', ApprovalStatus: 'Approved' },
          ...{ TrainingSpec: trainingSpec, InferenceSpec: inferenceSpec },
          Labels: [{ Key: 'modelSize', Value: size }],
        },
      },
    ],
  };
}

/** The cards of the Model Gallery, in the order they are listed. The first has the guide's title. */
export const GALLERY: readonly ModelRecord[] = [
  card('Qwen2-72B-Pre-trained (Megatron Edition)', '72B', ALGORITHMS[0] as Algorithm, {
    ...{ spec: 'ecs.gn7e-c16g1.32xlarge', count: 4 },
  }),
  card('Qwen2-Tiny-Pre-trained (Megatron Edition)', 'Tiny', ALGORITHMS[1] as Algorithm, {
    ...{ spec: 'ecs.local.2x', count: 1 },
  }),
];

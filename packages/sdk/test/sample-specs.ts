import { type CptRunSpec, type CptRunSpecInput, parseRunSpec } from '../src/run-spec.ts';

/** The guide's run: Qwen2-72B on 4 nodes of 8 GPUs, every hyper-parameter at its default. */
export const sample72B: CptRunSpecInput = {
  model: 'qwen2-72b',
  data: { train: '/mnt/data/dataset' },
  baseCheckpoint: '/mnt/data/qwen2-72b-mcore-tp8-pp4',
  dataSources: [{ uri: 'nas://29ba748c5f.cn-hangzhou/cpt/data', mountPath: '/mnt/data' }],
  output: { uri: 'nas://29ba748c5f.cn-hangzhou/cpt/output', mountPath: '/mnt/output' },
  compute: { nodes: 4, gpusPerNode: 8, ecsSpec: 'ecs.gn7e-c16g1.32xlarge' },
  image: 'registry.cn-hangzhou.aliyuncs.com/pai/megatron:25.04',
};

/** A run like the guide's with other hyper-parameters or other parts. */
export function run72B(
  hyperParameters: CptRunSpecInput['hyperParameters'] = {},
  parts: Partial<CptRunSpecInput> = {},
): CptRunSpec {
  return parseRunSpec({ ...sample72B, hyperParameters, ...parts });
}

import { join, resolve } from 'node:path';

/** Folders and files of the demo. `nas` is the root that pai-local mounts file systems from. */
export interface DemoPaths {
  readonly root: string;
  readonly corpus: string;
  readonly tokenizer: string;
  readonly nas: string;
  readonly data: string;
  readonly output: string;
  readonly model: string;
  readonly paiState: string;
  readonly database: string;
  readonly runSpec: string;
  readonly serviceSpec: string;
  readonly lossPoints: string;
  readonly report: string;
}

export const NAS = 'demo-nas';
export const REGION = 'cn-hangzhou';

/** Paths below the repository `root`; all that the demo writes is in `.cpt/demo`. */
export function demoPaths(root: string): DemoPaths {
  const work = resolve(root, '.cpt/demo');
  const nas = join(work, 'nas');
  return {
    root: work,
    corpus: resolve(root, 'fixtures/corpus'),
    tokenizer: resolve(root, 'fixtures/tokenizer'),
    nas,
    data: join(nas, NAS, 'data'),
    output: join(nas, NAS, 'output'),
    model: join(nas, NAS, 'models/qwen2-tiny-cpt'),
    paiState: join(work, 'pai-local'),
    database: join(work, 'database'),
    runSpec: resolve(root, 'examples/qwen2-tiny.json'),
    serviceSpec: resolve(root, 'examples/qwen2-tiny-service.json'),
    lossPoints: join(work, 'loss.jsonl'),
    report: join(work, 'report.json'),
  };
}

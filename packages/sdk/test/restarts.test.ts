import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CptClient, type WatchEvent } from '../src/index.ts';
import { createPaiTransport } from '../src/pai-transport.ts';

/** A pod that PAI restarts under a new uid, watched against a server that shares no code with the client. */

const KEY = { accessKeyId: 'local-id', accessKeySecret: 'local-secret' };

/** Each life prints iterations and what was loaded; the first ends with an error, the second well. */
const COMMAND = `life=$(cat /mnt/out/life 2>/dev/null || echo 1)
echo $((life + 1)) > /mnt/out/life
echo "  successfully loaded checkpoint from /mnt/base [ t 1/1, p 1/1 ] at iteration 0"
for i in 1 2 3 4; do
  printf ' iteration %d/ 4 | consumed samples: %d | global batch size: 8 | lm loss: 2.%dE+00 | grad norm: 1.0 | number of nan iterations: 0 |\\n' $i $((i * 8)) $life
done
[ $life = 2 ] || { echo "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB."; exit 1; }`;

let root: string;
let pai: PaiLocal;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sdk-restarts-'));
  await mkdir(join(root, 'images/plain/bin'), { recursive: true });
  pai = await startPaiLocal({
    ...{ accessKeys: { [KEY.accessKeyId]: KEY.accessKeySecret }, pace: 30 },
    ...{ stateDirectory: join(root, 'state'), nasDirectory: join(root, 'nas'), imagesDirectory: join(root, 'images') },
  });
});
afterAll(async () => {
  await pai?.close();
  await rm(root, { recursive: true, force: true });
});

it('tells both lives of a pod, whole and once each, and that the second began again from the base', async () => {
  const options = { regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY };
  const { JobId } = await createPaiTransport(options).call('CreateJob', {
    body: {
      ...{ DisplayName: 'restarted', JobType: 'PyTorchJob', UserCommand: COMMAND },
      JobSpecs: [{ Type: 'Worker', Image: 'plain', PodCount: 1, EcsSpec: 'ecs.x', RestartPolicy: 'OnFailure' }],
      DataSources: [{ Uri: 'nas://fs1.cn-hangzhou/out', MountPath: '/mnt/out' }],
    },
  });
  const { jobs } = new CptClient(options);
  const watch = async (): Promise<WatchEvent[]> => {
    const events: WatchEvent[] = [];
    const signal = AbortSignal.timeout(30_000);
    for await (const event of jobs.watch(JobId, { pollMs: 40, signal })) events.push(event);
    return events;
  };
  const live = await watch();
  const after = await watch(); // one who comes late is told the same
  for (const events of [live, after]) {
    const lines = events.flatMap((event) => (event.type === 'iteration' ? [event] : []));
    expect(lines.map(({ iteration, lmLoss }) => `${iteration}: ${lmLoss}`)).toEqual([
      ...['1: 2.1', '2: 2.1', '3: 2.1', '4: 2.1', '1: 2.2', '2: 2.2', '3: 2.2', '4: 2.2'],
    ]);
    const incidents = events.flatMap((event) => (event.type === 'incident' ? [event.incident] : []));
    expect(incidents[0]).toMatchObject({ kind: 'lost-progress', level: 'critical', evidence: [{ rule: 'A5' }] });
    expect(events.at(-1)).toMatchObject({ type: 'end', phase: 'succeeded' });
  }
  const { pods } = await jobs.get(JobId);
  expect(pods[0]?.replacedUids).toHaveLength(1);
  // The log of the pod that was replaced still tells why.
  expect(await jobs.explain(JobId)).toMatchObject({ cause: 'cuda-oom', podsRead: 2, pods: 2 });
});

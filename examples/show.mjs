/**
 * What the watcher says when things go wrong: the answer to CreateJob is lost, the loss spikes at iteration 60, and the
 * machine of the last pod is taken back at iteration 100. No training runs: show-scenario.json tells pai-local what to write.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseScenario, startPaiLocal } from '@pai-cpt/pai-local';
import { CptClient } from '@pai-cpt/sdk';

const json = async (name) => JSON.parse(await readFile(new URL(name, import.meta.url), 'utf8'));
const folder = await mkdtemp(join(tmpdir(), 'pai-cpt-show-'));
const credential = { accessKeyId: 'show', accessKeySecret: 'show-secret' };
const pai = await startPaiLocal({
  ...{ stateDirectory: join(folder, 'state'), nasDirectory: join(folder, 'nas') },
  ...{ accessKeys: { show: 'show-secret' }, scenario: parseScenario(await json('show-scenario.json')) },
});
try {
  const client = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential });
  const spec = await json('qwen2-72b.json');
  spec.output = { uri: 'nas://demo-nas.cn-hangzhou/output', mountPath: '/mnt/output' };

  const job = await client.jobs.submit(spec, { key: 'show' });
  console.log(`job ${job.submission.how}: the answer to CreateJob was lost, the job was found`);
  let jobs = 0;
  for await (const _ of client.jobs.list({ displayName: 'qwen2-72b-cpt' })) jobs++;
  console.log(`jobs of this name: ${jobs}`);

  const seen = [];
  for await (const event of client.jobs.watch(job.jobId, { pollMs: 250 })) {
    if (event.type === 'iteration') seen.push(event.iteration);
    if (event.type === 'phase-change') console.log(`phase ${event.phase} (${event.status})`);
    if (event.type === 'checkpoint-saved') console.log(`checkpoint ${event.iteration}`);
    if (event.type === 'checkpoint-loaded') console.log(`loaded iteration ${event.iteration} from ${event.directory}`);
    if (event.type === 'incident') {
      const { level, title, onset, proposal } = event.incident;
      console.log(`${level} ${event.change}: ${title} since iteration ${onset}; ${proposal.action}`);
    }
    if (event.type === 'end') console.log(`end: ${event.phase}`);
  }
  console.log(`${new Set(seen).size} iterations, ${seen.length - new Set(seen).size} of them trained twice`);
} finally {
  await pai.close();
  await rm(folder, { recursive: true, force: true });
}

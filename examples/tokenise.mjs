/** Journey A: tokenise a corpus on the NAS, on three pods. Run again, it finds the job instead of starting another. */
import { CptClient } from '@pai-cpt/sdk';
import { fileSubmitJournal } from '@pai-cpt/sdk/node';

// Keys come from the default credential chain; an endpoint is only for a pai-local.
const { PAI_REGION: regionId = 'cn-hangzhou', PAI_ENDPOINT: endpoint } = process.env;
const client = new CptClient({ regionId, ...(endpoint && { endpoint }) });

const job = await client.jobs.submitTool(
  {
    tool: 'tokenise',
    inputs: ['/mnt/nas/corpus/*.jsonl'],
    tokenizer: '/mnt/nas/tokenizer',
    output: '/mnt/nas/dataset/', // dataset.bin and dataset.idx, as QuickStart wants them
    parts: 3,
    image: 'registry.example/pai-cpt-tools:0.1',
    dataSources: [{ uri: 'nas://demo-nas.cn-hangzhou/cpt', mountPath: '/mnt/nas' }],
    compute: { ecsSpec: 'ecs.g6.2xlarge' },
    maxRunningTimeMinutes: 24 * 60,
  },
  { key: 'tokenise-corpus-1', journal: fileSubmitJournal('.pai-cpt') },
);
console.log(`job ${job.jobId} (${job.submission.how})`);

const ended = await client.jobs.wait(job.jobId, { timeoutMs: 24 * 3_600_000, pollMs: 1000 });
console.log(`${ended.phase} after ${ended.durationSeconds} s, ${ended.restarts} restarts`);
if (ended.phase !== 'succeeded') {
  const { lines } = await client.jobs.logs(job.jobId);
  console.log(lines.slice(-20).join('\n'));
  process.exitCode = 1;
}

/** Journey C: convert the newest checkpoint to Hugging Face's format on two pods; each writes its share of the shards. */
import { CptClient } from '@pai-cpt/sdk';
import { fileSubmitJournal } from '@pai-cpt/sdk/node';

const { PAI_REGION: regionId = 'cn-hangzhou', PAI_ENDPOINT: endpoint } = process.env;
const client = new CptClient({ regionId, ...(endpoint && { endpoint }) });

const job = await client.jobs.submitTool(
  {
    tool: 'convert',
    command: 'to-hf',
    input: '/mnt/nas/checkpoint',
    output: '/mnt/nas/hf',
    arguments: ['--max-shard-size', '5GB'],
    parts: 2,
    image: 'registry.example/pai-cpt-tools:0.1',
    dataSources: [{ uri: 'nas://demo-nas.cn-hangzhou/cpt', mountPath: '/mnt/nas' }],
    compute: { ecsSpec: 'ecs.g6.2xlarge' },
    maxRunningTimeMinutes: 12 * 60,
  },
  { key: 'convert-run-1', journal: fileSubmitJournal('.pai-cpt') },
);
console.log(`job ${job.jobId} (${job.submission.how})`);

const ended = await client.jobs.wait(job.jobId, { timeoutMs: 12 * 3_600_000, pollMs: 1000 });
console.log(`${ended.phase} after ${ended.durationSeconds} s, ${ended.restarts} restarts`);
for (const { podId } of ended.pods) {
  const { lines } = await client.jobs.logs(job.jobId, { podId });
  console.log(lines.filter((line) => line.includes('part ')).join('\n'));
}
if (ended.phase !== 'succeeded') process.exitCode = 1;

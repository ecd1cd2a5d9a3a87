/** Journey B: `node train.mjs SPEC.json`: what the run will do, the job exactly once, and what happens in it. */
import { readFile } from 'node:fs/promises';
import { CptClient, detectorConfigOf, parseRunSpec } from '@pai-cpt/sdk';
import { fileSubmitJournal } from '@pai-cpt/sdk/node';

const { PAI_REGION: regionId = 'cn-hangzhou', PAI_ENDPOINT: endpoint } = process.env;
const client = new CptClient({ regionId, ...(endpoint && { endpoint }) });
const spec = parseRunSpec(JSON.parse(await readFile(process.argv[2] ?? 'examples/qwen2-72b.json', 'utf8')));

const plan = client.plan(spec);
console.log(`${plan.iterations} iterations of ${plan.tokensPerIteration} tokens`);
for (const { level, check, message } of plan.findings) console.log(`${level} ${check}: ${message}`);

const job = await client.jobs.submit(spec, { key: 'train-run-1', journal: fileSubmitJournal('.pai-cpt') });
console.log(`job ${job.jobId} (${job.submission.how})`);

// A1: not a number, A2: worse than guessing, A4: from random weights. Each costs more than it can still give.
const options = { detector: detectorConfigOf(spec), stopOn: ['A1', 'A2', 'A4'], pollMs: 1000 };
for await (const event of client.jobs.watch(job.jobId, options)) {
  if (event.type === 'phase-change') console.log(`phase ${event.phase}`);
  if (event.type === 'checkpoint-saved') console.log(`checkpoint ${event.iteration} in ${event.directory}`);
  if (event.type === 'incident') {
    const { title, onset, proposal } = event.incident;
    console.log(`${event.change}: ${title} since iteration ${onset}; ${proposal.action}`);
  }
  if (event.type === 'failure') console.log(`cause: ${event.failure.title}; ${event.failure.advice}`);
  if (event.type === 'end') {
    console.log(`end: ${event.phase} (${event.reason})`);
    process.exitCode = event.phase === 'succeeded' ? 0 : 1;
  }
}

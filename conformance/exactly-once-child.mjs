/** Submits once, as a process of its own that may be killed: `node exactly-once-child.mjs URL KEY DIRECTORY`. Prints the job. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [url, key, directory] = process.argv.slice(2);
const dist = (path) => import(pathToFileURL(join(import.meta.dirname, '../packages/sdk/dist', path)).href);
const { CptClient } = await dist('index.js');
const { fileSubmitJournal } = await dist('submit/node.js');

const credential = { accessKeyId: 'testid', accessKeySecret: 'testsecret' };
const client = new CptClient({ regionId: 'cn-hangzhou', endpoint: url, credential, readTimeoutMs: 700 });
const spec = {
  model: 'qwen2-72b',
  data: { train: '/mnt/data/dataset' },
  baseCheckpoint: '/mnt/data/base',
  dataSources: [{ uri: 'nas://fs1.cn-hangzhou/data', mountPath: '/mnt/data' }],
  output: { uri: 'nas://fs1.cn-hangzhou/output', mountPath: '/mnt/output' },
  compute: { nodes: 4, gpusPerNode: 8, ecsSpec: 'ecs.gn7e-c16g1.32xlarge' },
  image: 'registry.example/pai/megatron:25.04',
};
// Everything in this world is late by a second at most, so a settle time of 4 s does what two minutes do outside.
const timing = { settleMs: 4000, settleReads: 4, confirmMs: 1100, firstPollMs: 80, longestPollMs: 300, callMs: 3000 };
try {
  const { jobId, submission } = await client.jobs.submit(spec, { key, journal: fileSubmitJournal(directory), timing });
  process.stdout.write(`${JSON.stringify({ jobId, how: submission.how, stopped: submission.stopped })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ code: error.code ?? String(error), message: error.message })}\n`);
}
process.exit(0);

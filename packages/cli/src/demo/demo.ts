import { resolve } from 'node:path';
import { CptClient, parseRunSpec, parseServiceSpec } from '@pai-cpt/sdk';
import pc from 'picocolors';
import { renderLossCurve } from '../loss-curve.ts';
import {
  fileExists,
  makeFolder,
  print,
  programPath,
  readJsonFile,
  removeFolder,
  runProgram,
  type ServerProcess,
  startServer,
  terminalColumns,
  writeJsonFile,
} from '../node.ts';
import { type DemoPaths, demoPaths, REGION } from './demo-paths.ts';
import { promptFromCorpus, serveAndAsk } from './deploy-stage.ts';
import type { BuildOutput, ConversionOutput, PlanOutput, VerifyOutput } from './program-output.ts';
import { walkRest } from './rest.ts';
import { check, createStages } from './stages.ts';
import { watchTraining } from './train.ts';

const KEY = { accessKeyId: 'local-demo-id', accessKeySecret: 'local-demo-secret' };
const count = (value: number) => value.toLocaleString('en-US');
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`;

/**
 * The whole journey on this machine, each stage by the real program: text → MMAP → plan → job → training → checkpoint →
 * safetensors → proof → service → REST. Writes `.cpt/demo/report.json` and ends with an error when a check fails; the
 * servers it started are stopped either way.
 */
export async function runDemo(signal: AbortSignal): Promise<void> {
  const paths = demoPaths(resolve(import.meta.dirname, '../../../..'));
  check(await fileExists(paths.corpus), `${paths.corpus} is missing: the demo runs from a clone of the repository`);
  await removeFolder(paths.root);
  for (const folder of [paths.data, paths.output, paths.paiState]) await makeFolder(folder);
  const servers: ServerProcess[] = [];
  try {
    await walk(paths, servers, signal);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function walk(paths: DemoPaths, servers: ServerProcess[], signal: AbortSignal): Promise<void> {
  const stages = createStages(9);
  const mmap = programPath('@pai-cpt/mmap', 'cpt-mmap');
  const convert = programPath('@pai-cpt/ckpt-convert', 'ckpt-convert');
  const runSpecFile = await readJsonFile(paths.runSpec);
  const runSpec = parseRunSpec(runSpecFile);
  const serviceSpec = parseServiceSpec(await readJsonFile(paths.serviceSpec));

  const dataset = await stages.run(
    'data',
    async () =>
      (await runProgram(
        mmap,
        ['build', paths.corpus, '--tokenizer', paths.tokenizer, '--output', paths.data, '--held-out', '0.05', '--json'],
        signal,
      )) as BuildOutput,
    (built) => `${count(built.documents)} documents, ${count(built.tokens)} tokens in dataset.bin and dataset.idx`,
  );

  const plan = await stages.run(
    'plan',
    async () =>
      (await runProgram(
        programPath('@pai-cpt/cli', 'cpt'),
        ['plan', paths.runSpec, '--dataset', `${paths.data}/dataset`, '--json'],
        signal,
      )) as PlanOutput,
    (made) =>
      `${made.iterations} iterations, ${count(made.tokens)} tokens, ${made.epochs?.toFixed(1)} epochs, ${made.findings.length} findings`,
  );
  for (const { level, check: name, message } of plan.findings) print(pc.dim(`        ${level} ${name}: ${message}`));

  const { client, job, pai } = await stages.run(
    'submit',
    async () => {
      const server = await startServer(programPath('@pai-cpt/pai-local', 'pai-local'), [
        ...['--port', '8790', '--region', REGION, '--state', paths.paiState, '--nas', paths.nas],
        ...['--access-key', `${KEY.accessKeyId}:${KEY.accessKeySecret}`],
      ]);
      servers.push(server);
      const connected = new CptClient({ regionId: REGION, endpoint: server.url, credential: KEY });
      return { client: connected, job: await connected.jobs.submit(runSpec, { signal }), pai: server.url };
    },
    (submitted) => `job ${submitted.job.jobId} on ${submitted.pai}, signed with ACS3-HMAC-SHA256`,
  );

  const training = await stages.run(
    'train',
    () => watchTraining(client, job.jobId, paths.lossPoints, signal),
    (run) =>
      `${run.points.length} iterations, loss ${run.firstLoss.toFixed(2)} → ${run.lastLoss.toFixed(2)}, validation ${run.validationLoss.toFixed(3)}, ${run.checkpoints.length} checkpoints`,
  );

  const ended = await stages.run(
    'monitor',
    async () => {
      print(renderLossCurve(training.points, { columns: Math.min(72, terminalColumns - 12) }));
      return client.jobs.get(job.jobId);
    },
    (seen) => `${training.statuses.join(' → ')}, ${seen.pods.length} pods; points in .cpt/demo/loss.jsonl`,
  );

  // The job saw its mount path; this machine sees the folder behind it.
  const checkpoint = (training.checkpoints.at(-1)?.directory ?? '').replace(runSpec.output.mountPath, paths.output);
  const converted = await stages.run(
    'convert',
    async () =>
      (await runProgram(
        convert,
        [
          'to-hf',
          checkpoint,
          paths.model,
          '--tokenizer',
          paths.tokenizer,
          '--vocab-size',
          String(dataset.vocabSize),
          '--json',
        ],
        signal,
      )) as ConversionOutput,
    (done) =>
      `${done.tensors} tensors, ${megabytes(done.bytes)} of safetensors; peak memory ${megabytes(done.peakRssBytes)}`,
  );

  const verified = await stages.run(
    'verify',
    async () => {
      const report = (await runProgram(
        convert,
        ['verify', paths.model, '--against', checkpoint, '--run', '--data', `${paths.data}/dataset_valid`, '--json'],
        signal,
      )) as VerifyOutput;
      check(report.ok, 'ckpt-convert verify found differences');
      check(
        report.maxLayerRelativeL2 <= 1e-4,
        `the layouts differ by ${report.maxLayerRelativeL2} in a layer; 1e-4 is allowed`,
      );
      const gap = Math.abs(report.validationLoss.hf - training.validationLoss);
      check(
        gap <= 0.01,
        `validation loss ${report.validationLoss.hf} converted, ${training.validationLoss} trained: apart by ${gap}`,
      );
      return report;
    },
    (report) =>
      `every layer within ${report.maxLayerRelativeL2.toExponential(1)}; validation ${report.validationLoss.hf.toFixed(4)} converted, ${training.validationLoss.toFixed(4)} trained`,
  );

  const prompt = await promptFromCorpus(paths.corpus);
  const served = await stages.run(
    'deploy',
    () => serveAndAsk(client, serviceSpec, paths.model, prompt, signal),
    (answer) =>
      `${JSON.stringify(prompt)} → ${JSON.stringify(answer.completion)}; ${answer.unauthorisedStatus} without the token`,
  );

  await stages.run(
    'rest',
    async () => {
      const server = await startServer(programPath('@pai-cpt/api', 'cpt-api'), [], {
        PORT: '8791',
        PORT_FALLBACK: '1',
        DATA_DIR: paths.database,
        PAI_ENDPOINT: pai,
        PAI_REGION: REGION,
        ALIBABA_CLOUD_ACCESS_KEY_ID: KEY.accessKeyId,
        ALIBABA_CLOUD_ACCESS_KEY_SECRET: KEY.accessKeySecret,
      });
      servers.push(server);
      return { url: server.url, ...(await walkRest(server.url, job.jobId, serviceSpec.name, runSpecFile)) };
    },
    (walked) =>
      `${walked.calls} calls on ${walked.url}: ${walked.jobs} job and its service listed, a second created once, stopped, deleted`,
  );

  await writeJsonFile(paths.report, {
    documents: dataset.documents,
    tokens: dataset.tokens,
    iterations: training.points.length,
    firstLoss: training.firstLoss,
    lastLoss: training.lastLoss,
    validationLossTrainer: training.validationLoss,
    validationLossConverted: verified.validationLoss.hf,
    maxLayerRelativeL2: verified.maxLayerRelativeL2,
    tensors: converted.tensors,
    convertedBytes: converted.bytes,
    jobPhase: ended.phase,
    servicePhase: served.phase,
    completion: served.completion,
    unauthorisedStatus: served.unauthorisedStatus,
    seconds: { perStage: stages.perStage, total: stages.total() },
  });
  print(`${pc.bold('done')} in ${stages.total().toFixed(1)} s; the figures are in .cpt/demo/report.json`);
}

import { join } from 'node:path';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import { runCli } from '@pai-cpt/core/node';
import { CptClient } from '@pai-cpt/sdk';
import closeWithGrace from 'close-with-grace';
import { Command } from 'commander';
import type { FastifyInstance } from 'fastify';
import { type Config, DEFAULT_PORT, readConfig } from './config.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './db/embedded.ts';
import { openRepositories } from './db/repositories.ts';
import { buildServer } from './server.ts';

const HELP = `
Environment:
  PAI_REGION                       region of the jobs, such as cn-hangzhou (required)
  PAI_ENDPOINT                     another endpoint than the region's, such as that of pai-local
  PAI_WORKSPACE_ID                 PAI workspace
  ALIBABA_CLOUD_ACCESS_KEY_ID      access key; without it the SDK looks for credentials itself
  ALIBABA_CLOUD_ACCESS_KEY_SECRET
  CPT_API_TOKEN                    callers must send it as a bearer token; required unless HOST is loopback
  HOST, PORT                       where to listen (127.0.0.1, ${DEFAULT_PORT} or any free port)
  PORT_FALLBACK=1                  take any free port when PORT is taken
  DATABASE_URL                     PostgreSQL 15 or later; without it an embedded one runs below DATA_DIR
  DATA_DIR                         folder of the embedded database (.cpt/api)
  LOG_LEVEL                        trace, debug, info, warn, error, fatal or silent (info)
`;
const STOP_TIMEOUT_MS = 25_000; // more than the embedded PostgreSQL is given to end

/** What has been started, to be ended in the opposite order. */
interface Service {
  server?: FastifyInstance;
  closeRepositories?: () => Promise<void>;
  postgres?: EmbeddedPostgres;
}

await runCli(async () => {
  const program = new Command('cpt-api')
    .description('REST service for continued pre-training on PAI')
    .option('--exit-with-parent', 'stop when stdin closes, as it does when the process that started this one ends')
    .addHelpText('after', HELP)
    .parse();
  const config = readConfig(process.env);
  const service: Service = {};
  const started = start(config, service);
  const grace = closeWithGrace({ delay: STOP_TIMEOUT_MS, logger: console }, async ({ err }) => {
    if (err) console.error(err);
    await started.catch(() => undefined); // a start that is under way has things to end too
    await stop(service);
  });
  process.stdout.on('error', () => undefined); // nobody reads any more; that is no reason to fail
  if (program.opts<{ exitWithParent?: boolean }>().exitWithParent) void endOfInput().then(grace.close);
  try {
    const url = await started;
    process.stdout.write(`${JSON.stringify({ url })}\n`);
  } catch (error) {
    grace.uninstall();
    await stop(service);
    throw error;
  }
  return undefined;
});

/** Fulfils when nobody can write to stdin any more. A pipe tells it by `close`, /dev/null by `end` alone. */
function endOfInput(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.once('close', resolve).once('end', resolve).resume();
  });
}

async function start(config: Config, service: Service): Promise<string> {
  const logLine = (line: string) => process.stderr.write(`${line}\n`);
  if (config.databaseUrl === undefined) {
    service.postgres = await startEmbeddedPostgres({ dataDirectory: config.dataDirectory, log: logLine });
  }
  const url = config.databaseUrl ?? service.postgres?.url ?? '';
  const repositories = await openRepositories(url, (error) => logLine(`a database connection broke: ${error.message}`));
  service.closeRepositories = repositories.close;
  const server = await buildServer({
    client: new CptClient(config.pai),
    repositories,
    token: config.token,
    logger: { level: config.logLevel, stream: process.stderr },
  });
  service.server = server;
  void endWith(service);
  return listen(server, config);
}

/** Fails the process, by an unhandled rejection, when the database ends before the service does. */
async function endWith(service: Service): Promise<void> {
  const { postgres } = service;
  await postgres?.exited;
  if (postgres === undefined || service.postgres !== postgres) return;
  const log = join(postgres.directory, 'server.log');
  throw new CptError('CPT_SERVICE_DATABASE', `the embedded PostgreSQL ended by itself; ${log} may tell why`);
}

async function listen(server: FastifyInstance, { host, port, mayUseOtherPort }: Config): Promise<string> {
  try {
    return await server.listen({ host, port: port ?? DEFAULT_PORT });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    if (mayUseOtherPort) return server.listen({ host, port: 0 });
    throw new InvalidInputError(
      'CPT_CONFIG_INVALID',
      `PORT: ${port} on ${host} is taken; free it, give another one, or set PORT_FALLBACK=1`,
      { field: 'PORT' },
      { cause: error },
    );
  }
}

/** Answers what has been asked, then lets go of the database, then ends it. */
async function stop(service: Service): Promise<void> {
  const { server, closeRepositories, postgres } = service;
  delete service.postgres; // its end is ours from here on
  try {
    await server?.close();
    await closeRepositories?.();
  } finally {
    await postgres?.stop();
  }
}

import { once } from 'node:events';
import { runCli } from '@pai-cpt/core/node';
import { parseServeOptions } from './options.ts';
import { openServedModel } from './served-model.ts';
import { buildServer } from './server.ts';

/** `vllm serve`: loads a model, says where it listens in one line, and serves until SIGTERM or SIGINT. */
await runCli(async () => {
  const options = parseServeOptions(process.argv.slice(2));
  const model = await openServedModel(options);
  const server = buildServer(model);
  const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  const address = await server.listen({ host: options.host, port: options.port });
  process.stdout.write(
    `serving ${model.name} from ${model.root} at ${address}, up to ${model.maxModelLength} tokens\n`,
  );
  await stopped;
  await server.close();
  await model.close();
  return 0;
});

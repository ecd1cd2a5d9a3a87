import { parseServiceSpec } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print, printAside, readJsonFile } from './node.ts';

type Options = ConnectOptions & { json?: boolean; timeout: string };

/** `cpt deploy SPEC` and `cpt services list|get|delete`. stdout of a deployment is the service's URL. */
export function registerDeploy(program: Command): void {
  withConnection(program.command('deploy'))
    .description('serve a converted checkpoint on EAS; prints the URL')
    .argument('<spec>', 'service specification (JSON)')
    .option('--timeout <seconds>', 'how long to wait until it answers', '1800')
    .option('--json', 'the service as one JSON line on stdout')
    .action(async (specPath: string, options: Options) => {
      const spec = parseServiceSpec(await readJsonFile(specPath));
      const client = connect(options);
      const signal = interruptSignal();
      await client.services.deploy(spec, { signal });
      printAside(`${spec.name}: created, waiting until it answers`);
      const service = await client.services.wait(spec.name, { timeoutMs: Number(options.timeout) * 1000, signal });
      const { url } = await client.services.endpoint(spec.name);
      print(options.json ? JSON.stringify({ ...service, url }) : url);
    });

  const services = program.command('services').description('services of the region');
  withConnection(services.command('list'))
    .option('--json', 'JSON lines on stdout')
    .action(async (options: Options) => {
      for await (const service of connect(options).services.list()) {
        print(options.json ? JSON.stringify(service) : `${service.name}  ${service.phase}`);
      }
    });
  withConnection(services.command('get <name>')).action(async (name: string, options: Options) => {
    print(JSON.stringify(await connect(options).services.get(name), null, 2));
  });
  withConnection(services.command('delete <name>')).action(async (name: string, options: Options) => {
    await connect(options).services.delete(name);
    print(name);
  });
}

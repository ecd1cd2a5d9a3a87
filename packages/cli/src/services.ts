import type { Service } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print } from './node.ts';

type Options = ConnectOptions & { json?: boolean };
type Services = ReturnType<typeof connect>['services'];

/** `cpt services …`. */
export function registerServices(program: Command): void {
  const services = program.command('services').description('services of the region');
  const subcommand = (usage: string, description: string) =>
    withConnection(services.command(usage)).description(description).option('--json', 'JSON lines on stdout');
  /** A command that changes one service and prints its name. */
  const change = (usage: string, description: string, act: (services: Services, name: string) => Promise<unknown>) =>
    subcommand(`${usage} <name>`, description).action(async (name: string, options: Options) => {
      await act(connect(options).services, name);
      print(options.json ? JSON.stringify({ name }) : name);
    });

  subcommand('list', 'name, phase, instances, share of its group’s traffic').action(async (options: Options) => {
    for await (const service of connect(options).services.list({ signal: interruptSignal() })) {
      print(options.json ? JSON.stringify(service) : describeService(service));
    }
  });
  subcommand('get <name>', 'one service').action(async (name: string, options: Options) => {
    const service = await connect(options).services.get(name);
    print(options.json ? JSON.stringify(service) : describeFields(service));
  });
  subcommand('logs <name>', 'what its instances wrote, oldest first')
    .option('--keyword <text>', 'lines that hold it')
    .option('--instance <name>', 'of one instance')
    .action(async (name: string, options: Options & { keyword?: string; instance?: string }) => {
      const { keyword, instance } = options;
      for await (const line of connect(options).services.logs(name, { keyword, instance, signal: interruptSignal() })) {
        print(options.json ? JSON.stringify({ line }) : line);
      }
    });
  subcommand('events <name>', 'what happened to it in the last seven days')
    .option('--warnings', 'only those')
    .action(async (name: string, options: Options & { warnings?: boolean }) => {
      const filter = options.warnings ? { type: 'Warning' as const } : {};
      for await (const event of connect(options).services.events(name, { ...filter, signal: interruptSignal() })) {
        const { at = '-', type, reason, message } = event;
        print(options.json ? JSON.stringify(event) : `${at}  ${type}  ${reason}  ${message}`);
      }
    });
  subcommand('instances <name>', 'its containers').action(async (name: string, options: Options) => {
    for await (const instance of connect(options).services.instances(name, { signal: interruptSignal() })) {
      const words = [instance.name, instance.status, `${instance.restarts} restarts`, instance.startedAt ?? '-'];
      print(options.json ? JSON.stringify(instance) : words.join('  '));
    }
  });
  subcommand('scale <name> <instances>', 'set how many instances run').action(
    async (name: string, instances: string, options: Options) => {
      await connect(options).services.scale(name, Number(instances));
      print(options.json ? JSON.stringify({ name, instances: Number(instances) }) : name);
    },
  );
  change('start', 'start a stopped service', (all, name) => all.start(name));
  change('stop', 'stop it; it keeps its configuration and costs nothing', (all, name) => all.stop(name));
  change('restart', 'start its instances anew', (all, name) => all.restart(name));
  change('delete', 'delete it', (all, name) => all.delete(name));
  change('promote', 'give it all traffic of its group; the others go on running without', (all, name) =>
    all.promote(name),
  );
  subcommand('rollback <name>', 'put an earlier version in place; prints the version')
    .option('--to-version <n>', 'which one (default: the one before)')
    .action(async (name: string, options: Options & { toVersion?: string }) => {
      const chosen = options.toVersion === undefined ? {} : { version: Number(options.toVersion) };
      const version = await connect(options).services.rollback(name, chosen);
      print(options.json ? JSON.stringify({ name, version }) : String(version));
    });
}

function describeService({ name, phase, runningInstances = 0, instances = 0, ...service }: Service): string {
  const traffic = service.trafficState === 'grouping' ? `weight ${service.weight}` : 'no traffic';
  const share = service.group === undefined ? '' : `  ${service.group}: ${traffic}`;
  return `${name}  ${phase}  ${runningInstances}/${instances}${share}`;
}

const describeFields = (service: Service): string =>
  Object.entries(service)
    .map(([field, value]) => `${field.padEnd(16)}  ${value}`)
    .join('\n');

import { InvalidInputError } from '@pai-cpt/core';
import type { AutoScaler, AutoScalerView, Service } from '@pai-cpt/sdk';
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
  registerAutoscale(
    subcommand('autoscale <name>', 'let EAS set how many instances run; without options, tell the rule'),
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

interface AutoscaleOptions extends Options {
  min?: string;
  max?: string;
  qps?: string;
  cpu?: string;
  gpu?: string;
  downAfter?: string;
  delete?: boolean;
}

/** The options that are rules, and what EAS calls their metrics. */
const METRICS = { qps: 'qps', cpu: 'cpu', gpu: 'gpu[util]' } as const;

function registerAutoscale(command: Command): void {
  command
    .option('--min <n>', 'instances at least; 0 lets it sleep until it is asked')
    .option('--max <n>', 'instances at most')
    .option('--qps <n>', 'add instances while one gets more requests a second')
    .option('--cpu <percent>', 'while one takes more of its CPUs')
    .option('--gpu <percent>', 'while one takes more of its GPUs')
    .option('--down-after <seconds>', 'take instances away after so long below (default: 300)')
    .option('--delete', 'take the rule away; the instances stay as they are')
    .action(async (name: string, options: AutoscaleOptions) => {
      const { services } = connect(options);
      const scaler = readScaler(options);
      if (options.delete) await services.deleteAutoscaler(name);
      else if (scaler) await services.autoscale(name, scaler);
      const now = options.delete ? undefined : await services.autoscaler(name);
      print(options.json ? JSON.stringify({ name, scaler: now ?? null }) : `${name}  ${describeScaler(now)}`);
    });
}

/** The rule that the options mean; undefined when they mean none. */
function readScaler({ min, max, downAfter, delete: isDeleted, ...options }: AutoscaleOptions): AutoScaler | undefined {
  const rules = Object.entries(METRICS).flatMap(([option, metric]) => {
    const threshold = options[option as keyof typeof METRICS];
    return threshold === undefined ? [] : [{ metric, threshold: readNumber(`--${option}`, threshold) }];
  });
  const isEmpty = min === undefined && max === undefined && downAfter === undefined && rules.length === 0;
  if (isDeleted && !isEmpty) throw new InvalidInputError('CPT_INPUT_INVALID', '--delete goes with no other rule');
  if (isEmpty) return undefined;
  if (min === undefined || max === undefined || rules.length === 0) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      'a rule needs --min, --max and at least one of --qps, --cpu, --gpu',
    );
  }
  return {
    ...{ minInstances: readNumber('--min', min), maxInstances: readNumber('--max', max), rules },
    ...(downAfter !== undefined && { scaleDownAfterSeconds: readNumber('--down-after', downAfter) }),
  };
}

function readNumber(option: string, text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new InvalidInputError('CPT_INPUT_INVALID', `${option} is "${text}"; give a number from 0`);
}

function describeScaler(scaler: AutoScalerView | undefined): string {
  if (!scaler) return 'not scaled automatically';
  const rules = scaler.rules.map(({ metric, threshold }) => {
    const now = scaler.current?.find((current) => current.metric === metric)?.value;
    return `${metric} above ${threshold}${now === undefined ? '' : ` (now ${Number(now.toFixed(2))})`}`;
  });
  const after = scaler.scaleDownAfterSeconds;
  const down = after === undefined ? '' : `, down after ${after} s`;
  return `${scaler.minInstances} to ${scaler.maxInstances} instances by ${rules.join(', ')}${down}`;
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

import { InvalidInputError, PaiError } from '@pai-cpt/core';
import {
  type GateReport,
  type GoldenPrompt,
  parseGoldenPrompts,
  parseServiceSpec,
  type RollOutEvent,
  type ServiceSpec,
} from '@pai-cpt/sdk';
import { localFolder } from '@pai-cpt/sdk/node';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print, printAside, readJsonFile, readTextFile } from './node.ts';

type Client = ReturnType<typeof connect>;

interface Options extends ConnectOptions {
  json?: boolean;
  timeout: string;
  local?: string;
  unverified?: boolean;
  gate?: string;
  canary?: string;
  from?: string;
  probes?: string;
  pause?: string;
  maxErrorRate?: string;
  maxLatency?: string;
}

/** `cpt deploy SPEC`. stdout of a deployment is the service's URL. */
export function registerDeploy(program: Command): void {
  withConnection(program.command('deploy'))
    .description('serve a verified checkpoint on EAS; prints the URL')
    .argument('<spec>', 'service specification (JSON)')
    .option('--local <directory>', 'the checkpoint as this machine sees it; its verification is checked')
    .option('--unverified', 'deploy without a verification; a label of the service tells so')
    .option('--gate <file>', 'golden prompts (JSON Lines) that the service must pass')
    .option('--canary <percents>', 'after the gate, share of the group’s traffic step by step, such as 5,25,100')
    .option('--from <name>', 'service of the group that has the traffic now (default: the one that has it)')
    .option('--probes <n>', 'golden prompts asked at each step', '20')
    .option('--pause <seconds>', 'between two of them', '3')
    .option('--max-error-rate <share>', 'of the probes of a step, 0 to 1', '0')
    .option('--max-latency <ms>', '95th percentile of a step')
    .option(
      '--token-scheme <scheme>',
      'how it takes its token: bare (default, as EAS does) or bearer (PAI_TOKEN_SCHEME)',
    )
    .option('--timeout <seconds>', 'how long to wait until it answers', '1800')
    .option('--json', 'the service as one JSON line on stdout')
    .action(async (specPath: string, options: Options) => {
      const spec = parseServiceSpec(await readJsonFile(specPath));
      const prompts = options.gate === undefined ? undefined : await readPrompts(options.gate);
      const steps = readSteps(options, spec, prompts);
      const client = connect(options);
      const signal = interruptSignal();
      const folder = options.local === undefined ? undefined : localFolder(options.local);
      const isUnverified = options.unverified === true;
      await client.services.deploy(spec, { folder, isUnverified, signal });
      printAside(`${spec.name}: created, waiting until it answers`);
      const timeoutMs = Number(options.timeout) * 1000;
      const service = await client.services.wait(spec.name, { timeoutMs, signal });
      if (prompts && steps) await rollOut(client, spec.name, prompts, steps, options, signal);
      else if (prompts) await gate(client, spec.name, prompts, signal);
      const { url } = await client.services.endpoint(spec.name);
      print(options.json ? JSON.stringify({ ...service, url }) : url);
    });
}

const readPrompts = async (path: string): Promise<GoldenPrompt[]> => parseGoldenPrompts(await readTextFile(path), path);

function readSteps({ canary }: Options, spec: ServiceSpec, prompts: readonly GoldenPrompt[] | undefined) {
  if (canary === undefined) return undefined;
  if (!prompts)
    throw new InvalidInputError('CPT_INPUT_INVALID', '--canary needs --gate with the prompts to watch it by');
  if (spec.group === undefined) {
    throw new InvalidInputError('CPT_INPUT_INVALID', `--canary needs a group in the specification of ${spec.name}`);
  }
  return canary.split(',').map(Number);
}

async function gate(client: Client, name: string, prompts: readonly GoldenPrompt[], signal: AbortSignal) {
  const report = await client.services.gate(name, prompts, { signal });
  printGate(report);
  if (report.ok) return;
  throw new PaiError(
    'CPT_PAI_GATE_FAILED',
    `${name} failed ${report.failed} of ${report.prompts} golden prompts; it still runs: cpt services stop ${name}`,
    { report },
  );
}

async function rollOut(
  client: Client,
  name: string,
  prompts: readonly GoldenPrompt[],
  steps: readonly number[],
  options: Options,
  signal: AbortSignal,
): Promise<void> {
  await client.services.rollOut(name, {
    ...{ prompts, steps, signal, onEvent: printEvent },
    from: options.from,
    probes: Number(options.probes),
    pauseMs: Number(options.pause) * 1000,
    maxErrorRate: Number(options.maxErrorRate),
    maxP95LatencyMs: options.maxLatency === undefined ? undefined : Number(options.maxLatency),
    timeoutMs: Number(options.timeout) * 1000,
  });
}

function printGate({ results, prompts, failed, p95LatencyMs }: GateReport): void {
  for (const { id, faults } of results.filter(({ ok }) => !ok)) printAside(`  ✗ ${id}: ${faults.join('; ')}`);
  const words = failed === 0 ? `all ${prompts}` : `${prompts - failed} of ${prompts}`;
  printAside(`gate: ${words} golden prompts passed, 95 % within ${Math.round(p95LatencyMs)} ms`);
}

function printEvent(event: RollOutEvent): void {
  switch (event.type) {
    case 'gate':
      printGate(event.gate);
      break;
    case 'weight':
      printAside(`${event.name}: ${event.weight} % of the traffic`);
      break;
    case 'step': {
      const { probes, failed, p95LatencyMs } = event.step;
      printAside(`  ${probes - failed} of ${probes} probes passed, 95 % within ${Math.round(p95LatencyMs)} ms`);
      break;
    }
    case 'roll-back':
      printAside(`rolling back${event.to === undefined ? '' : ` to ${event.to}`}: ${event.why}`);
      break;
    case 'promoted':
      printAside(`${event.name}: promoted`);
  }
}

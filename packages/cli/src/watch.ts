import { InvalidInputError } from '@pai-cpt/core';
import {
  detectorConfigOf,
  type JobFailure,
  type PodUse,
  parseRunSpec,
  RULES,
  type RuleId,
  type WatchEvent,
} from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { type LossPoint, renderLossCurve } from './loss-curve.ts';
import { interruptSignal, print, printAside, readJsonFile, terminalColumns } from './node.ts';

/** `cpt watch JOB`: phases, iterations and checkpoints as they come, then the loss curve. Exit code 5 when the job failed. */
export function registerWatch(program: Command, exit: (code: number) => void): void {
  withConnection(program.command('watch'))
    .description('follow a job to its end')
    .argument('<job-id>')
    .option('--spec <file>', 'the run specification, so that the rules know its schedule and vocabulary')
    .option('--stop-on <rules>', 'stop the job when one of these rules speaks, for example A1,A2,A3', readRules)
    .option('--metrics <seconds>', 'how often to read what the pods use; 0: never', readSeconds, 300)
    .option('--json', 'one JSON line per event on stdout')
    .action(async (jobId: string, options: WatchCommandOptions) => {
      const points: LossPoint[] = [];
      const detector = options.spec ? detectorConfigOf(parseRunSpec(await readJsonFile(options.spec))) : undefined;
      const metricsEveryMs = options.metrics > 0 ? options.metrics * 1000 : undefined;
      const watching = { signal: interruptSignal(), detector, stopOn: options.stopOn, metricsEveryMs };
      for await (const event of connect(options).jobs.watch(jobId, watching)) {
        if (options.json) print(JSON.stringify(event));
        else print(renderEvent(event));
        if (event.type === 'iteration' && event.lmLoss !== undefined) {
          points.push({ iteration: event.iteration, lmLoss: event.lmLoss });
        }
        if (event.type === 'end') exit(event.phase === 'succeeded' ? 0 : 5);
      }
      if (!options.json && points.length > 0) printAside(renderLossCurve(points, { columns: terminalColumns - 12 }));
    });
}

type WatchCommandOptions = ConnectOptions & { json?: boolean; spec?: string; stopOn?: RuleId[]; metrics: number };

function readSeconds(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidInputError(
    'CPT_INPUT_INVALID',
    `--metrics: ${JSON.stringify(text)} is not a whole number of seconds`,
  );
}

function readRules(list: string): RuleId[] {
  return list.split(',').map((name) => {
    if (Object.hasOwn(RULES, name)) return name as RuleId;
    const known = Object.keys(RULES).join(', ');
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `--stop-on: there is no rule ${JSON.stringify(name)}; there are ${known}`,
    );
  });
}

/** One event as a line for a person. */
export function renderEvent(event: WatchEvent): string {
  switch (event.type) {
    case 'phase-change':
      return `phase ${event.phase} (${event.status})`;
    case 'iteration': {
      const rate = event.learningRate === undefined ? '' : `  lr ${event.learningRate.toExponential(2)}`;
      const loss = event.lmLoss === undefined ? 'no loss' : `loss ${event.lmLoss.toFixed(4)}`;
      return `iteration ${event.iteration}/${event.trainIterations}  ${loss}${rate}`;
    }
    case 'validation':
      return `validation at ${event.iteration}: loss ${event.lmLoss.toFixed(4)}, perplexity ${event.perplexity.toFixed(2)}`;
    case 'checkpoint-saved':
      return `checkpoint ${event.iteration} in ${event.directory}`;
    case 'checkpoint-loaded':
      return `loaded iteration ${event.iteration} from ${event.directory}`;
    case 'metrics':
      return `use: ${event.pods.map(renderUse).join('; ')}`;
    case 'failure':
      return renderFailure(event.failure);
    case 'incident': {
      const { title, level, state, onset, proposal } = event.incident;
      return `${level} ${event.change}: ${title} since iteration ${onset} (${state}); ${proposal.action}`;
    }
    case 'stop-requested':
      return `stopped by rule ${event.rule} at iteration ${event.iteration}: ${event.message}`;
    case 'warning':
      return `warning: ${event.message}`;
    case 'end':
      return `end: ${event.phase}${event.reason ? ` (${event.reason})` : ''}`;
  }
}

function renderUse({ podId, gpuPercent, cpuPercent, memoryPercent }: PodUse): string {
  const figures = { GPU: gpuPercent, CPU: cpuPercent, memory: memoryPercent };
  const known = Object.entries(figures).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return `${podId} ${known.map(([name, percent]) => `${name} ${percent.toFixed(0)} %`).join(' ')}`;
}

/** The cause, what to do, and the lines that show it. */
export function renderFailure({ cause, title, podId, at, advice, evidence, podsRead, pods }: JobFailure): string {
  const where = podId === undefined ? '' : ` in ${podId}${at === undefined ? '' : ` at ${at}`}`;
  const head = `failed: ${title} (${cause})${where}; read ${podsRead} of ${pods} logs`;
  return [head, `  ${advice}`, ...evidence.map((line) => `  | ${line}`)].join('\n');
}

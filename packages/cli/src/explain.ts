import { InvalidInputError } from '@pai-cpt/core';
import { METRIC_TYPES, type MetricType, type PodMetric } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { interruptSignal, print } from './node.ts';
import { renderFailure } from './watch.ts';

type Options = ConnectOptions & { json?: boolean };

/** `cpt explain JOB` and `cpt metrics JOB`. */
export function registerExplain(program: Command): void {
  withConnection(program.command('explain'))
    .description('why a job failed: the earliest error over the logs of all its pods')
    .argument('<job-id>')
    .option('--json', 'one JSON line on stdout')
    .action(async (jobId: string, options: Options) => {
      const failure = await connect(options).jobs.explain(jobId, { signal: interruptSignal() });
      print(options.json ? JSON.stringify(failure) : renderFailure(failure));
    });

  withConnection(program.command('metrics'))
    .description('what the pods of a job used of GPUs, CPUs, memory, network and disks')
    .argument('<job-id>')
    .option('--metric <names>', `comma-separated, of ${METRIC_TYPES.join(', ')}`, readMetrics)
    .option('--from <time>', 'ISO 8601; by default an hour ago')
    .option('--to <time>', 'ISO 8601; by default now')
    .option('--step <seconds>', 'seconds that one point stands for', Number, 300)
    .option('--json', 'one JSON line per pod and metric on stdout')
    .action(async (jobId: string, options: Options & Choice) => {
      const { metric: metrics, from, to, step: stepSeconds } = options;
      const signal = interruptSignal();
      const found = await connect(options).jobs.metrics(jobId, { metrics, from, to, stepSeconds, signal });
      for (const each of found) print(options.json ? JSON.stringify(each) : renderMetric(each));
    });
}

interface Choice {
  metric?: MetricType[];
  from?: string;
  to?: string;
  step: number;
}

function readMetrics(list: string): MetricType[] {
  return list.split(',').map((name) => {
    const known = METRIC_TYPES.find((metric) => metric === name);
    if (known) return known;
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `--metric: there is no "${name}"; there are ${METRIC_TYPES.join(', ')}`,
    );
  });
}

/** Newest, least and greatest value. */
function renderMetric({ podId, metric, points }: PodMetric): string {
  const values = points.map(({ value }) => value);
  const newest = values.at(-1);
  const figures =
    newest === undefined
      ? 'no points'
      : [newest, Math.min(...values), Math.max(...values)].map((value) => value.toPrecision(3)).join('  ');
  return `${podId}  ${metric.padEnd(17)}  ${figures}`;
}

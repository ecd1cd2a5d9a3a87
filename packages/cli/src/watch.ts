import type { JobEvent } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { type LossPoint, renderLossCurve } from './loss-curve.ts';
import { interruptSignal, print, printAside, terminalColumns } from './node.ts';

/** `cpt watch JOB`: phases, iterations and checkpoints as they come, then the loss curve. Exit code 5 when the job failed. */
export function registerWatch(program: Command, exit: (code: number) => void): void {
  withConnection(program.command('watch'))
    .description('follow a job to its end')
    .argument('<job-id>')
    .option('--json', 'one JSON line per event on stdout')
    .action(async (jobId: string, options: ConnectOptions & { json?: boolean }) => {
      const points: LossPoint[] = [];
      for await (const event of connect(options).jobs.follow(jobId, { signal: interruptSignal() })) {
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

/** One event as a line for a person. */
export function renderEvent(event: JobEvent): string {
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
    case 'warning':
      return `warning: ${event.message}`;
    case 'end':
      return `end: ${event.phase}${event.reason ? ` (${event.reason})` : ''}`;
  }
}

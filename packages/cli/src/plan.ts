import { CptClient, type PlanFacts, parseRunSpec } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { type ConnectOptions, connect, withConnection } from './connect.ts';
import { datasetFacts } from './dataset-facts.ts';
import { print, printAside, readJsonFile } from './node.ts';
import { renderPlan } from './render-plan.ts';

interface PlanOptions extends ConnectOptions {
  dataset?: string;
  ask?: boolean;
  json?: boolean;
}

/** `cpt plan SPEC`: figures and findings before any money is spent. Exit code 3 when the plan is blocked. */
export function registerPlan(program: Command, exit: (code: number) => void): void {
  withConnection(program.command('plan'))
    .description('figures and findings of a run, before any GPU is asked for')
    .argument('<spec>', 'run specification (JSON)')
    .option('--dataset <prefix>', 'the training dataset as this machine sees it, to count its tokens')
    .option('--ask', 'ask PAI, too: free GPUs of the quota, size and stock of the machine type')
    .option('--json', 'the plan as one JSON line on stdout')
    .action(async (specPath: string, options: PlanOptions) => {
      const spec = parseRunSpec(await readJsonFile(specPath));
      const dataset = options.dataset ? await datasetFacts(options.dataset) : undefined;
      const known: PlanFacts = dataset ? { dataset } : {};
      const { facts, unreached } = options.ask
        ? await connect(options).gatherFacts(spec, known)
        : { facts: known, unreached: [] };
      for (const why of unreached) printAside(`not known: ${why}`);
      const plan = CptClient.plan(spec, facts);
      print(options.json ? JSON.stringify(plan) : renderPlan(plan));
      exit(plan.isBlocked ? 3 : 0);
    });
}

import { CptClient, parseRunSpec } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { datasetFacts } from './dataset-facts.ts';
import { print, readJsonFile } from './node.ts';
import { renderPlan } from './render-plan.ts';

interface PlanOptions {
  dataset?: string;
  json?: boolean;
}

/** `cpt plan SPEC`: figures and findings before any money is spent. Exit code 3 when the plan is blocked. */
export function registerPlan(program: Command, exit: (code: number) => void): void {
  program
    .command('plan')
    .description('figures and findings of a run, before any GPU is asked for')
    .argument('<spec>', 'run specification (JSON)')
    .option('--dataset <prefix>', 'the training dataset as this machine sees it, to count its tokens')
    .option('--json', 'the plan as one JSON line on stdout')
    .action(async (specPath: string, options: PlanOptions) => {
      const spec = parseRunSpec(await readJsonFile(specPath));
      const dataset = options.dataset ? await datasetFacts(options.dataset) : undefined;
      const plan = CptClient.plan(spec, dataset ? { dataset } : {});
      print(options.json ? JSON.stringify(plan) : renderPlan(plan));
      exit(plan.isBlocked ? 3 : 0);
    });
}

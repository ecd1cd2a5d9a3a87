import { CptClient, parseRunSpec } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { withConnection } from './connect.ts';
import { print, readJsonFile, terminalColumns } from './node.ts';
import { type FactOptions, factsOf, withFacts } from './plan-facts.ts';
import { renderPlan } from './render-plan.ts';

interface PlanOptions extends FactOptions {
  json?: boolean;
}

/** `cpt plan SPEC`: figures and findings before any money is spent. Exit code 3 when the plan is blocked. */
export function registerPlan(program: Command, exit: (code: number) => void): void {
  withFacts(withConnection(program.command('plan')))
    .description('figures and findings of a run, before any GPU is asked for')
    .argument('<spec>', 'run specification (JSON)')
    .option('--json', 'the plan as one JSON line on stdout')
    .action(async (specPath: string, options: PlanOptions) => {
      const spec = parseRunSpec(await readJsonFile(specPath));
      const plan = CptClient.plan(spec, await factsOf(options, spec));
      print(options.json ? JSON.stringify(plan) : renderPlan(plan, { columns: terminalColumns, model: spec.model }));
      exit(plan.isBlocked ? 3 : 0);
    });
}

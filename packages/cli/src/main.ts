import { runCli } from '@pai-cpt/core/node';
import { Command, CommanderError } from 'commander';
import { registerDatasets } from './datasets.ts';
import { registerDemo } from './demo/demo-command.ts';
import { registerDeploy } from './deploy.ts';
import { registerDoctor } from './doctor.ts';
import { registerExplain } from './explain.ts';
import { registerJobs } from './jobs.ts';
import { registerModels } from './models.ts';
import { registerPlan } from './plan.ts';
import { registerResume } from './resume.ts';
import { registerServices } from './services.ts';
import { registerSubmit } from './submit.ts';
import { registerTool } from './tool.ts';
import { registerWatch } from './watch.ts';
import { registerWorkspaces } from './workspaces.ts';

await runCli(async () => {
  let exitCode = 0;
  const exit = (code: number) => {
    exitCode = code;
  };
  const program = new Command('cpt')
    .description('Continued pre-training of large language models on Alibaba Cloud PAI')
    .version('0.1.0')
    .exitOverride();
  registerPlan(program, exit);
  registerSubmit(program);
  registerWatch(program, exit);
  registerExplain(program);
  registerResume(program);
  registerJobs(program);
  registerDeploy(program);
  registerServices(program);
  registerDatasets(program, exit);
  registerModels(program);
  registerWorkspaces(program);
  registerDoctor(program, exit);
  registerTool(program);
  registerDemo(program);
  try {
    await program.parseAsync();
  } catch (error) {
    // Help and version end here with code 0; commander has already printed what is wrong with the arguments.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  return exitCode;
});

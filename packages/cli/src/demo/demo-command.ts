import type { Command } from 'commander';
import { interruptSignal } from '../node.ts';
import { runDemo } from './demo.ts';

/** `cpt demo`: the whole journey on this machine. */
export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('raw text to a served model on this machine, every stage real')
    .action(() => runDemo(interruptSignal()));
}

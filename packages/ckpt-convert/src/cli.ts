import { CptError } from '@pai-cpt/core';
import { runCli } from '@pai-cpt/core/node';
import { runCommand } from './commands.ts';

const interrupt = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => interrupt.abort(new DOMException(`interrupted by ${name}`, 'AbortError')));
}
// A reader such as `head` that has seen enough is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

/** sysexits.h EX_TEMPFAIL: another converter holds the output; the same command may do later. */
const TEMPORARY_FAILURE = 75;
let isLocked = false;

await runCli(() =>
  runCommand(
    process.argv.slice(2),
    {
      write: (text) => void process.stdout.write(text),
      log: (line) => void process.stderr.write(`${line}\n`),
      ...(process.stderr.isTTY && { terminal: process.stderr }),
    },
    interrupt.signal,
  ).catch((error: unknown) => {
    isLocked = CptError.isInstance(error) && error.code === 'CPT_INPUT_OUTPUT_LOCKED';
    throw error;
  }),
);
if (isLocked) process.exitCode = TEMPORARY_FAILURE;

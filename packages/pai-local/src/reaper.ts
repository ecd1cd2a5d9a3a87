import { spawn } from 'node:child_process';

/** Ends process groups when this process is gone in a way that leaves it no time to do so itself, such as SIGKILL. */
export interface Reaper {
  watch(processGroup: number): void;
  forget(processGroup: number): void;
  close(): void;
}

/** The pipe to this shell closes with the process that holds its other end, however that process ends. */
const SCRIPT = `
trap '' HUP INT TERM
groups=
while read -r verb group; do
  rest=
  for known in $groups; do [ "$known" = "$group" ] || rest="$rest $known"; done
  groups=$rest
  [ "$verb" = watch ] && groups="$groups $group"
done
for group in $groups; do kill -9 "-$group"; done
`;

/** Starts the reaper: one shell that waits, in a session of its own so that Ctrl-C does not reach it. */
export function startReaper(): Reaper {
  const shell = spawn('/bin/sh', ['-c', SCRIPT], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: {},
    cwd: '/',
  });
  shell.on('error', () => {}); // without it, only the protection against SIGKILL is lost
  shell.stdin.on('error', () => {});
  shell.unref();
  const say = (verb: string, processGroup: number) => {
    if (shell.stdin.writable) shell.stdin.write(`${verb} ${processGroup}\n`);
  };
  return {
    watch: (processGroup) => say('watch', processGroup),
    forget: (processGroup) => say('forget', processGroup),
    close: () => shell.stdin.end(),
  };
}

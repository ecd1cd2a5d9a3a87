/* `node --import THIS?signal=SIGKILL&call=7`: the process gets the signal before the 7th of its calls that change a file. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { searchParams } = new URL(import.meta.url);
const [signal, at] = [searchParams.get('signal'), Number(searchParams.get('call'))];
const pause = new Int32Array(new SharedArrayBuffer(4));
let calls = 0;
for (const name of ['writeSync', 'renameSync']) {
  const call = fs[name];
  fs[name] = (...args) => {
    calls++;
    if (calls === at) process.kill(process.pid, signal);
    // A signal that has a handler waits for the loop to come round, which a conversion lets it do twenty times a second.
    if (calls >= at && signal === 'SIGINT') Atomics.wait(pause, 0, 0, 60);
    return call(...args);
  };
}
syncBuiltinESMExports();

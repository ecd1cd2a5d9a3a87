/* Runs one build, told as JSON on the command line, and kills this process at its N-th sign of progress. */
import { buildDataset } from '../src/build.ts';

const { options, tuning, killAt } = JSON.parse(process.argv[2]);
let seen = 0;
const onProgress = () => {
  seen++;
  if (seen === killAt) process.kill(process.pid, 'SIGKILL');
};
const onNotice = (notice) => console.log(notice);
const result = await buildDataset({ ...options, onProgress, onNotice }, tuning);
console.log(`signs of progress: ${seen}`);
console.log(JSON.stringify(result.sha256));

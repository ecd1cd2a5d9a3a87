/** Runs every test of the workspace, prints a row per package, and ends with `N passed, M failed`. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const results = [
  ['checks', join(root, 'checks/.results/test.json')],
  ...readdirSync(join(root, 'packages')).map((name) => [name, join(root, 'packages', name, '.results/test.json')]),
];
for (const [, file] of results) rmSync(file, { force: true });

const run = (command, args) =>
  spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' }).status === 0;
const isGreen = [
  run('turbo', ['run', 'build', 'test', '--output-logs=new-only', '--continue=dependencies-successful']),
  run('vitest', ['run', '--config', 'checks/vitest.config.ts']),
].every(Boolean);

let passed = 0;
let failed = 0;
const failures = [];
for (const [name, file] of results) {
  const result = readResult(file);
  if (!result) {
    failed++;
    console.log(`${name.padEnd(18)} no result: its tests did not run`);
    failures.push(`${name}: its tests did not run`);
    continue;
  }
  failures.push(...failuresOf(name, result));
  passed += result.numPassedTests;
  failed += result.numFailedTests + (result.success || result.numFailedTests > 0 ? 0 : 1);
  console.log(
    `${name.padEnd(18)} ${result.numPassedTests} passed, ${result.numFailedTests} failed, ${result.numPendingTests} skipped`,
  );
}
for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(`${passed} passed, ${failed} failed`);
mkdirSync(join(root, '.results'), { recursive: true });
writeFileSync(join(root, '.results/tests.json'), JSON.stringify({ passed, failed, failures }));
process.exitCode = isGreen && failed === 0 ? 0 : 1;

function readResult(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** A line for each test that failed, and for each file that failed outside its tests. */
function failuresOf(name, { testResults }) {
  return testResults
    .filter(({ status }) => status === 'failed')
    .flatMap(({ name: path, message, assertionResults }) => {
      const file = `${name}/${relative(join(root, 'packages', name), path)}`;
      const tests = assertionResults.filter(({ status }) => status === 'failed');
      if (tests.length === 0) return [`${file}: ${firstLine(message)}`];
      return tests.map(({ fullName, failureMessages }) => `${file}: ${fullName}: ${firstLine(failureMessages[0])}`);
    });
}

function firstLine(text = '') {
  return text.split('\n', 1)[0].slice(0, 300);
}

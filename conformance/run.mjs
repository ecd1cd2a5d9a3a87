/**
 * The slow proofs. Compares what the project writes with what the reference programs read and write: torch, megatron-core, safetensors
 * and transformers in a virtual environment of its own, and the npm package `tokenizers`; kills the converter and loses the cloud's
 * answers, by the hundred. `--prepare-only` makes the environment and nothing else.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const environment = join(root, '.venv');
const python = join(environment, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) console.error(`${command}: ${error.message}`);
  return status === 0;
}

function prepare() {
  const requirements = join(root, 'conformance/requirements.txt');
  if (!existsSync(python) && !run('python3', ['-m', 'venv', environment])) return false;
  return run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
}

if (!prepare()) {
  console.error('conformance: Python could not install its packages (conformance/requirements.txt)');
  process.exit(1);
}
if (!process.argv.includes('--prepare-only')) {
  const work = mkdtempSync(join(tmpdir(), 'cpt-conformance-'));
  const here = (name) => join(root, 'conformance', name);
  const failed = [
    [python, here('check.py'), work, process.execPath],
    [python, here('check_megatron.py')],
    [python, here('check_dist.py')],
    [python, here('check_schedule.py'), process.execPath],
    [process.execPath, here('kill-converter.mjs')],
    [process.execPath, here('tokenizer.mjs')],
    [process.execPath, here('exactly-once.mjs')],
  ].filter(([command, ...args]) => !run(command, args));
  rmSync(work, { recursive: true, force: true });
  for (const [, script] of failed) console.log(`FAILED ${relative(root, script)}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}

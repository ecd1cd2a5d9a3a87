/**
 * Compares what the project writes with what the reference programs read and write: torch, safetensors and transformers in a
 * virtual environment of its own, and the npm package `tokenizers`. `--prepare-only` makes the environment and nothing else.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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
  const isGreen = [
    run(python, [join(root, 'conformance/check.py'), work, process.execPath]),
    run(python, [join(root, 'conformance/check_megatron.py')]),
    run(process.execPath, [join(root, 'conformance/kill-converter.mjs')]),
    run(process.execPath, [join(root, 'conformance/tokenizer.mjs')]),
  ].every(Boolean);
  rmSync(work, { recursive: true, force: true });
  process.exitCode = isGreen ? 0 : 1;
}

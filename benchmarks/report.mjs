/** What every benchmark says of itself, and where its figures go: benchmarks/results/, which is not committed. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

function commit() {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  } catch {
    return 'no commit';
  }
}

/** Commit, machine and engine in one line. */
export const describeRun = () =>
  `commit ${commit()}, ${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Writes figures with their circumstances as JSON. */
export function saveResult(name, figures) {
  const folder = join(root, 'benchmarks/results');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.json`);
  writeFileSync(
    path,
    `${JSON.stringify({ name, run: describeRun(), at: new Date().toISOString(), ...figures }, null, 2)}\n`,
  );
}

/**
 * The table of fixtures/README.md: `node checks/fixtures-table.mjs --write` refreshes bytes and sha256 in place.
 * A row names a file, or a folder with a trailing `/`; a folder's digest is the sha256 of its lines `sha256  path`.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const fixtures = join(import.meta.dirname, '../fixtures');
const readme = join(fixtures, 'README.md');
const ROW = /^\| `([^`]+)` \| ([\d,]*) \| `?([0-9a-f]*)`? \|/;

/** Every file below fixtures/ that is data: not a script, not a README. */
export function fixtureFiles() {
  return readdirSync(fixtures, { recursive: true })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => statSync(join(fixtures, path)).isFile())
    .filter((path) => !/(^|\/)(README\.md|__pycache__\/.*|[^/]+\.(py|mjs))$/.test(path))
    .sort();
}

/** Bytes and digest of a row's file or folder, from the disk. */
export function measure(name) {
  if (!name.endsWith('/')) return digestOf(name);
  const parts = fixtureFiles().filter((path) => path.startsWith(name));
  const measured = parts.map((path) => ({ path, ...digestOf(path) }));
  const lines = measured.map(({ path, sha256 }) => `${sha256}  ${path.slice(name.length)}\n`).join('');
  return {
    bytes: measured.reduce((sum, part) => sum + part.bytes, 0),
    sha256: createHash('sha256').update(lines).digest('hex'),
  };
}

function digestOf(name) {
  const content = readFileSync(join(fixtures, name));
  return { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

/** Rows as written. */
export function tableRows() {
  return readFileSync(readme, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const found = ROW.exec(line);
      return found ? [{ name: found[1], bytes: Number(found[2].replaceAll(',', '')), sha256: found[3] }] : [];
    });
}

if (process.argv[2] === '--write') {
  const lines = readFileSync(readme, 'utf8').split('\n');
  const fresh = lines.map((line) => {
    const found = ROW.exec(line);
    if (!found) return line;
    const { bytes, sha256 } = measure(found[1]);
    return line.replace(ROW, `| \`${found[1]}\` | ${bytes.toLocaleString('en-US')} | \`${sha256}\` |`);
  });
  writeFileSync(readme, fresh.join('\n'));
}

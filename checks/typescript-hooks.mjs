import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What was translated, by digest: the compiler is loaded for changed files only. */
const cache = join(import.meta.dirname, '.results/translated');

async function translate(source, fileName) {
  const { default: ts } = await import('typescript');
  const compilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    isolatedModules: true,
  };
  return ts.transpileModule(source, { compilerOptions, fileName }).outputText;
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const source = readFileSync(fileURLToPath(url), 'utf8');
  const cached = join(cache, `${createHash('sha256').update(source).digest('hex')}.js`);
  let text;
  try {
    text = readFileSync(cached, 'utf8');
  } catch {
    text = await translate(source, fileURLToPath(url));
    mkdirSync(cache, { recursive: true });
    const temporary = `${cached}.${randomUUID()}`; // several threads may translate the same file
    writeFileSync(temporary, text);
    renameSync(temporary, cached);
  }
  return { format: 'module', shortCircuit: true, source: text };
}

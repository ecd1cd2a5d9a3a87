import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';
import { CptClient } from '../src/index.ts';

/** What a user's editor sees: the declarations of this package, and the examples of its README against them. */

const home = join(import.meta.dirname, '..');
const readme = readFileSync(join(home, 'README.md'), 'utf8');

/** What an example may take from those before it. */
const GIVEN: Record<string, string> = {
  client: `declare const client: import('@pai-cpt/sdk').CptClient;`,
  spec: `declare const spec: import('@pai-cpt/sdk').CptRunSpecInput;`,
  jobId: 'declare const jobId: string;',
};
const examples = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = ''], index) => {
  const given = Object.entries(GIVEN).filter(([name]) => !new RegExp(`const (\\{ )?${name}\\b`).test(code));
  return {
    path: join(home, `test/readme-example-${index + 1}.ts`),
    text: `${given.map(([, line]) => line).join('\n')}\nexport {};\n${code}`,
  };
});

const declarations = new Map<string, string>();
let problems: string[];
beforeAll(() => {
  const { config } = ts.readConfigFile(join(home, '../../tsconfig.base.json'), ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, home);
  const { rootDir, outDir, tsBuildInfoFile, composite, ...rest } = options;
  const own: ts.CompilerOptions = {
    ...{ ...rest, customConditions: ['development'], allowImportingTsExtensions: true },
    ...{ declaration: true, emitDeclarationOnly: true, declarationMap: false, sourceMap: false },
  };
  const host = ts.createCompilerHost(own);
  const { getSourceFile, fileExists } = host;
  const textOf = (path: string) => examples.find((example) => example.path === path)?.text;
  host.fileExists = (path) => textOf(path) !== undefined || fileExists(path);
  host.getSourceFile = (path, ...more) => {
    const text = textOf(path);
    return text === undefined ? getSourceFile(path, ...more) : ts.createSourceFile(path, text, 99, true);
  };
  const roots = [join(home, 'src/index.ts'), join(home, 'src/node.ts'), ...examples.map(({ path }) => path)];
  const program = ts.createProgram(roots, own, host);
  program.emit(undefined, (path, text) => {
    if (path.includes('packages/sdk/src/')) declarations.set(path.slice(path.indexOf('/src/') + 5), text);
  });
  problems = examples.flatMap(({ path }) =>
    program.getSemanticDiagnostics(program.getSourceFile(path)).map(({ messageText, start = 0 }) => {
      const line = ts.createSourceFile(path, textOf(path) ?? '', 99).getLineAndCharacterOfPosition(start).line;
      return `${textOf(path)?.split('\n')[line]}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    }),
  );
}, 120_000);

describe('the declarations', () => {
  it('say no any, in no field', () => {
    expect(declarations.size).toBeGreaterThan(60);
    const found = [...declarations].flatMap(([file, text]) => {
      const tree = ts.createSourceFile(file, text, 99, true);
      const places: string[] = [];
      const visit = (node: ts.Node): void => {
        if (node.kind === ts.SyntaxKind.AnyKeyword) places.push(`${file}: ${node.parent.getText().slice(0, 100)}`);
        ts.forEachChild(node, visit);
      };
      visit(tree);
      return places;
    });
    expect(found).toEqual([]);
  });

  it('show no type of a library that a user would have to install', () => {
    const named = [...declarations].filter(([, text]) => /from '@alicloud|import\("@alicloud/.test(text));
    expect(named.map(([file]) => file)).toEqual([]);
  });
});

describe('the README', () => {
  it('has examples that compile', () => {
    expect(examples.length).toBeGreaterThan(4);
    expect(problems).toEqual([]);
  });

  it('names every public method', () => {
    const client = new CptClient({ regionId: 'cn-hangzhou' });
    const { jobs, services, datasets, models, workspaces, quotas } = client;
    const resources = { client, jobs, services, datasets, models, workspaces, quotas };
    const missing = Object.entries(resources).flatMap(([resource, object]) =>
      Object.getOwnPropertyNames(Object.getPrototypeOf(object))
        .filter((name) => name !== 'constructor' && !new RegExp(`[\`.]${name}\\(`).test(readme))
        .map((name) => `${resource}.${name}`),
    );
    expect(missing).toEqual([]);
  });
});

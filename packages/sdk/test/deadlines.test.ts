import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { followJob } from '../src/monitor/follow-job.ts';
import { pollUntil } from '../src/poll.ts';
import { manualClock, paiError, scriptedPai } from './scripted-pai.ts';

/** No call without a deadline, no loop without a pause: read from the source, so that a new file cannot forget it. */

const src = join(import.meta.dirname, '../src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .map((name) => ({ name, tree: ts.createSourceFile(name, readFileSync(join(src, name), 'utf8'), 99, true) }));

/** Every node of all files for which `pick` has a word. */
function found(pick: (node: ts.Node) => string | undefined): { file: string; what: string; node: ts.Node }[] {
  const results: { file: string; what: string; node: ts.Node }[] = [];
  for (const { name, tree } of files) {
    const visit = (node: ts.Node): void => {
      const what = pick(node);
      if (what !== undefined) results.push({ file: name, what, node });
      ts.forEachChild(node, visit);
    };
    visit(tree);
  }
  return results;
}
const called = (name: string) => (node: ts.Node) =>
  ts.isCallExpression(node) && node.expression.getText().split('.').at(-1) === name ? node.getText() : undefined;

it('reads the files', () => expect(files.length).toBeGreaterThan(60));

describe('every call has a deadline', () => {
  it('PAI is called in one place, which ends each attempt: see pai-transport.test.ts', () => {
    expect(found(called('callApi')).map(({ file }) => file)).toEqual(['pai-transport.ts']);
    expect(found(called('callApi'))[0]?.node.getSourceFile().getText()).toContain('within(callTimeoutMs');
  });

  it('nothing opens a connection by itself, except fetch with a signal that always has a timeout', () => {
    const network = found((node) =>
      ts.isImportDeclaration(node) && /^'node:(https?|net|tls|dgram|http2)'$/.test(node.moduleSpecifier.getText())
        ? node.getText()
        : undefined,
    );
    expect(network.filter(({ what }) => !what.startsWith('import type'))).toEqual([]);
    const fetches = found(called('fetch'));
    expect(fetches.length).toBeGreaterThan(0);
    for (const { file, what, node } of fetches) {
      expect([file, what.includes('signal')]).toEqual([file, true]);
      expect([file, node.getSourceFile().getText().includes('AbortSignal.timeout(')]).toEqual([file, true]);
    }
  });

  it('each call passes the caller’s signal on', () => {
    const calls = found((node) => {
      if (!ts.isCallExpression(node) || !/(^|[.#])pai\.call$/.test(node.expression.getText())) return undefined;
      return node.arguments.length < 3 ? node.getText() : undefined;
    });
    expect(calls.map(({ file, what }) => `${file}: ${what}`)).toEqual([]);
  });
});

describe('no loop without a pause', () => {
  /** Pages end with the list, and attempts with the policy. */
  const ENDS =
    /sleep\(|pause\(|page \* (PAGE_SIZE|pageSize) >= |retryDelayMs\(|TotalCount|TotalPageNum|WIDEST_OVERLAP_MS|\.next\(\)|\.return|while \(.*\.(length|done)/;

  it('each loop that waits for something sleeps, or ends with a list', () => {
    const endless = found((node) => {
      const isEndless =
        (ts.isForStatement(node) && node.condition === undefined) ||
        ((ts.isWhileStatement(node) || ts.isDoStatement(node)) && node.expression.getText() === 'true');
      return isEndless && /await|yield/.test(node.getText()) ? node.getText() : undefined;
    });
    expect(endless.length).toBeGreaterThan(3);
    expect(endless.filter(({ what }) => !ENDS.test(what)).map(({ file, what }) => `${file}: ${what}`)).toEqual([]);
  });
});

describe('row 59: a status that PAI may add', () => {
  const job = (Status: string) => ({
    JobId: 'dlc1',
    DisplayName: 'cpt',
    Status,
    GmtCreateTime: '2026-11-24T00:00:00Z',
  });

  it('is told, and looked at again at the normal pace until the job ends', async () => {
    const clock = manualClock();
    const statuses = ['Queuing', 'Hibernating', 'Hibernating', 'Hibernating', 'Stopped'];
    const pai = scriptedPai({ GetJob: (_, calls) => job(statuses[Math.min(calls, 4)] as string) });
    const told: string[] = [];
    for await (const event of followJob(pai, 'dlc1', { clock, pollMs: 5000 })) {
      if (event.type === 'phase-change') told.push(`${event.phase} ${event.status}`);
      else told.push(event.type);
    }
    expect(told).toEqual(['pending Queuing', 'unknown Hibernating', 'stopped Stopped', 'end']);
    expect(new Set(clock.sleeps)).toEqual(new Set([5000]));
  });

  it('and an answer that is no answer do not end a wait, nor speed it up', async () => {
    const clock = manualClock();
    let reads = 0;
    const read = async (): Promise<string> => {
      reads++;
      if (reads === 2) throw paiError('CPT_PAI_UNAVAILABLE'); // HTML, or an empty 200
      return reads < 4 ? 'Hibernating' : 'Running';
    };
    const options = { what: 'Running', pollMs: 10_000, timeoutMs: 60_000, clock };
    expect(await pollUntil(read, (status) => status === 'Running', options)).toBe('Running');
    expect(clock.sleeps).toEqual([10_000, 10_000, 10_000]);
  });
});

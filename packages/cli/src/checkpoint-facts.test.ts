import { cpSync, mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkpointFacts } from './checkpoint-facts.ts';

const fixture = join(import.meta.dirname, '../../../fixtures/checkpoints/qwen2-tp2-pp2/megatron');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'checkpoint-facts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('facts of a base checkpoint', () => {
  it('are its division, sizes and dtype, from the headers', async () => {
    const facts = await checkpointFacts(fixture);
    // fixtures/checkpoints/generate.py: TP 2 × PP 2.
    expect(facts).toMatchObject({ tensorParallelSize: 2, pipelineParallelSize: 2, isDistributed: false });
    expect(facts.dtypes).toEqual(['BF16']);
    expect(facts.problems).toBeUndefined();
    expect(facts.source).toContain(fixture);
    // Embedding, output layer and final norm, and for each layer attention with biases, gate, up, down and two norms.
    const {
      layers = 0,
      hiddenSize: h = 0,
      ffnHiddenSize: f = 0,
      heads = 1,
      queryGroups: g = 0,
      paddedVocabSize: v = 0,
    } = facts;
    const keyRows = (h / heads) * g;
    const layer = h * (2 * h + 2 * keyRows) + h + 2 * keyRows + 3 * h * f + 2 * h;
    expect(facts.parameters).toBe(2 * v * h + h + layers * layer);
  });

  it('are the reason why it cannot be loaded, when it is cut', async () => {
    const cut = join(folder, 'cut');
    cpSync(fixture, cut, { recursive: true });
    const file = readdirSync(cut, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('.pt')) as string;
    truncateSync(join(cut, file), 200);
    const { problems, tensorParallelSize } = await checkpointFacts(cut);
    expect(problems?.[0]).toContain('.pt');
    expect(tensorParallelSize).toBeUndefined();
  });

  it('are that there is none', async () => {
    const facts = await checkpointFacts(join(folder, 'nowhere'));
    expect(facts.problems?.[0]).toContain('nowhere');
  });
});

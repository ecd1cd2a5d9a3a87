import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** Rows of PAI's guide that our programs cover: docs/guide.md has the table. */

const root = join(import.meta.dirname, '../../..');
const tokenizer = join(root, 'fixtures/tokenizer/tokenizer.json');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'guide-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(program: string, ...args: string[]): string {
  const home = program === 'ckpt-convert' ? 'ckpt-convert' : 'mmap';
  const path = join(root, 'packages', home, 'bin', `${program}.js`);
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { encoding: 'utf8' });
  expect([program, args[0], status, status === 0 ? '' : stderr]).toEqual([program, args[0], 0, '']);
  return stdout;
}

it('G4: a build names its files dataset.bin and dataset.idx when it is given a folder', () => {
  const output = join(folder, 'built/');
  run('cpt-mmap', 'build', join(root, 'fixtures/corpus/english.jsonl'), '--tokenizer', tokenizer, '--output', output);
  expect(readdirSync(output).sort()).toEqual(['dataset.bin', 'dataset.idx', 'dataset.json']);
});

it('G11: a Megatron dense checkpoint becomes a Hugging Face folder', () => {
  const output = join(folder, 'hf');
  run('ckpt-convert', 'to-hf', join(root, 'fixtures/checkpoints/qwen2-tp2-pp2/megatron'), output);
  const names = readdirSync(output);
  expect(names).toContain('config.json');
  expect(names.some((name) => name.endsWith('.safetensors'))).toBe(true);
  expect(JSON.parse(readFileSync(join(output, 'config.json'), 'utf8'))).toMatchObject({
    architectures: ['Qwen2ForCausalLM'],
    torch_dtype: 'bfloat16',
  });
});

describe('G12: data is cleaned, deduplicated, kept apart from the evaluation, and mixed with general text', () => {
  const text = 'The court held that the contract was void because no consideration had passed between the parties. ';
  const write = (name: string, texts: string[]): string => {
    const path = join(folder, name);
    writeFileSync(path, texts.map((one) => JSON.stringify({ text: one })).join('\n'));
    return path;
  };
  const kept = (name: string): number =>
    readdirSync(join(folder, name))
      .filter((file) => file.endsWith('.jsonl'))
      .flatMap((file) =>
        readFileSync(join(folder, name, file), 'utf8')
          .trim()
          .split('\n'),
      ).length;

  it('dedup leaves a repeated document out', () => {
    const input = write('twice.jsonl', [text, `${text}And costs.`, text]);
    run('cpt-mmap', 'dedup', input, '--drop', join(folder, 'unique'));
    expect(kept('unique')).toBe(2);
  });

  it('quality leaves noise out', () => {
    const input = write('noise.jsonl', [text.repeat(20), '#### !!!! #### $$$$']);
    run('cpt-mmap', 'quality', input, '--drop', join(folder, 'clean'));
    expect(readFileSync(join(folder, 'clean', 'noise.jsonl'), 'utf8')).not.toContain('$$$$');
  });

  it('mix takes from each dataset its share', () => {
    const [law, general] = ['english', 'chinese'].map((name) => {
      const prefix = join(folder, `${name}/dataset`);
      const input = join(root, `fixtures/corpus/${name}.jsonl`);
      run('cpt-mmap', 'build', input, '--tokenizer', tokenizer, '--output', prefix);
      return prefix;
    });
    run('cpt-mmap', 'mix', join(folder, 'mixed/dataset'), `${law}=0.7`, `${general}=0.3`, '--tokens', '20000');
    const { origin } = JSON.parse(readFileSync(join(folder, 'mixed/dataset.json'), 'utf8'));
    const [first, second] = origin.parts.map(({ tokens }: { tokens: number }) => tokens) as [number, number];
    expect(first / (first + second)).toBeCloseTo(0.7, 1);
  });
});

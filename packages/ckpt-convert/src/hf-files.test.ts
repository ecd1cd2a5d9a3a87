import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { planHfFiles, readReference } from './hf-files.ts';

const tokenizer = {
  model: { vocab: { a: 0, b: 1, '</s>': 2 } },
  added_tokens: [
    { id: 9, content: '<|endoftext|>' },
    { id: 10, content: '<s>' },
  ],
};

/** A reference folder and a tokenizer folder, each file of which says where it is from. */
async function folders(body: (root: string) => Promise<void>, tokenizerConfig: object = {}): Promise<void> {
  await withDirectory(async (root) => {
    await mkdir(join(root, 'ref'));
    await mkdir(join(root, 'tok'));
    const files = {
      'ref/config.json': JSON.stringify({ model_type: 'qwen2' }),
      'ref/generation_config.json': '{"eos_token_id":1}',
      'ref/tokenizer.json': JSON.stringify(tokenizer),
      'ref/vocab.json': '{}',
      'ref/model.safetensors': 'weights',
      'ref/model.safetensors.index.json': '{}',
      'ref/README.md': 'readme',
      'tok/tokenizer.json': JSON.stringify(tokenizer),
      'tok/tokenizer_config.json': JSON.stringify(tokenizerConfig),
    };
    for (const [name, content] of Object.entries(files)) await writeFile(join(root, name), content);
    await body(root);
  });
}

describe('planHfFiles', () => {
  it('copies tokenizer and generation settings of the reference, and neither weights nor index', async () => {
    await folders(async (root) => {
      const reference = join(root, 'ref');
      const { copies, contents } = await planHfFiles(TINY, 'BF16', await readReference(reference), { reference });
      expect(copies.map(({ name }) => name)).toEqual(['tokenizer.json', 'vocab.json', 'generation_config.json']);
      expect(contents.map(({ name }) => name)).toEqual(['config.json']);
    });
  });

  it('prefers the tokenizer that is named', async () => {
    await folders(async (root) => {
      const options = { reference: join(root, 'ref', 'config.json'), tokenizer: join(root, 'tok') };
      const { copies } = await planHfFiles(TINY, 'BF16', await readReference(options.reference), options);
      expect(copies.map(({ from }) => from.slice(root.length + 1))).toEqual([
        'tok/tokenizer.json',
        'tok/tokenizer_config.json',
        'ref/generation_config.json',
      ]);
    });
  });

  it('takes a tokenizer.json alone, whatever it is called', async () => {
    await folders(async (root) => {
      const path = join(root, 'my-tokenizer');
      await writeFile(path, JSON.stringify(tokenizer));
      const { copies } = await planHfFiles(TINY, 'BF16', undefined, { tokenizer: path });
      expect(copies).toEqual([{ from: path, name: 'tokenizer.json' }]);
    });
  });

  it.each([
    ['<|endoftext|> where the tokenizer names no end', {}, { eos_token_id: 9 }],
    [
      'the tokens that its config names',
      { eos_token: { content: '</s>' }, bos_token: '<s>' },
      { eos_token_id: 2, bos_token_id: 10 },
    ],
  ])('ends generation at %s', async (_, config, ids) => {
    await folders(async (root) => {
      const { contents } = await planHfFiles(TINY, 'BF16', undefined, { tokenizer: join(root, 'tok') });
      expect(JSON.parse(contents[0]?.content ?? '')).toMatchObject(ids);
      expect(contents[1]?.name).toBe('generation_config.json');
      expect(JSON.parse(contents[1]?.content ?? '')).toEqual({ _from_model_config: true, ...ids });
    }, config);
  });

  it('needs no tokenizer at all', async () => {
    expect((await planHfFiles(TINY, 'BF16', undefined, {})).contents.map(({ name }) => name)).toEqual(['config.json']);
  });

  it('refuses a tokenizer that is not there', async () => {
    await folders(async (root) => {
      for (const path of [join(root, 'nowhere'), root]) {
        await expect(planHfFiles(TINY, 'BF16', undefined, { tokenizer: path })).rejects.toThrow(
          expect.objectContaining({ code: 'CPT_INPUT_FILE_MISSING' }),
        );
      }
    });
  });
});

describe('readReference', () => {
  it.each([
    ['{', 'is not JSON'],
    ['[]', 'is not a JSON object'],
  ])('refuses %s', async (content, message) => {
    await withDirectory(async (root) => {
      await writeFile(join(root, 'config.json'), content);
      await expect(readReference(root)).rejects.toThrow(
        expect.objectContaining({ code: 'CPT_CONFIG_MODEL', message: expect.stringContaining(message) }),
      );
      await expect(readReference(join(root, 'nowhere'))).rejects.toThrow('does not exist');
    });
  });
});

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURES, withDirectory } from '../test/tiny-checkpoint.ts';
import { runCommand } from './commands.ts';
import { VERIFICATION_FILE } from './verification-record.ts';

const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');
const silent = { write: () => {}, log: () => {} };
const run = (...args: string[]) => runCommand(args, silent);

describe('the record of a verification', () => {
  it('row 63: names what was found equal, and is left neither by a failure nor by a new conversion', async () => {
    await withDirectory(async (root) => {
      const hf = join(root, 'hf');
      const path = join(hf, VERIFICATION_FILE);
      await run('to-hf', source, hf);
      expect(existsSync(path)).toBe(false);
      expect(await run('verify', hf, '--against', source)).toBe(0);
      const record = JSON.parse(await readFile(path, 'utf8'));
      expect(record).toMatchObject({ verification: 1, against: source });
      expect(record.checks.map((check: { name: string; ok: boolean }) => `${check.name} ${check.ok}`)).toContain(
        'tensors true',
      );
      const { size } = await stat(join(hf, 'model.safetensors'));
      const weights = await readFile(join(hf, 'model.safetensors'));
      const sha256 = createHash('sha256').update(weights).digest('hex');
      expect(record.files).toContainEqual({ name: 'model.safetensors', bytes: size, sha256 });
      expect(record.files).toContainEqual({
        name: 'config.json',
        bytes: expect.any(Number),
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      });

      expect(await run('verify', hf, '--against', source, '--digest', 'none')).toBe(0);
      const { mtimeMs } = await stat(join(hf, 'model.safetensors'));
      expect(JSON.parse(await readFile(path, 'utf8')).files).toContainEqual({
        ...{ name: 'model.safetensors', bytes: size, modifiedMs: Math.floor(mtimeMs) },
      });

      await run('to-hf', source, hf, '--resume'); // the same once more changes nothing
      expect(existsSync(path)).toBe(true);
      expect(await run('verify', hf, '--against', join(FIXTURES, 'qwen2-mqa', 'megatron'))).toBe(1);
      expect(existsSync(path)).toBe(false);
      await run('verify', hf, '--against', source);
      await run('to-hf', join(FIXTURES, 'qwen2-mqa', 'megatron'), hf, '--force');
      expect(existsSync(path)).toBe(false);
    });
  });
});

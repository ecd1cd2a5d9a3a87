import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FolderView } from './folder.ts';
import { requireVerified } from './service-checkpoint.ts';

const URI = 'nas://fs1.cn-hangzhou/models/hf';
const CONFIG = '{"architectures":["Qwen2ForCausalLM"]}';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** A folder of texts; a weight is its length alone, or its bytes as text. */
function folder(files: Record<string, string | number>, modifiedMs = 1000): FolderView {
  return {
    list: async () =>
      Object.entries(files).map(([name, content]) => ({
        ...{ name, modifiedMs },
        bytes: typeof content === 'number' ? content : Buffer.byteLength(content),
      })),
    readText: async (name) => String(files[name]),
    sha256: async (name) => sha256(String(files[name])),
  };
}

const RECORD = {
  verification: 1,
  files: [
    { name: 'config.json', bytes: CONFIG.length, sha256: sha256(CONFIG) },
    { name: 'model.safetensors', bytes: 640 },
  ],
};
const whole = { 'config.json': CONFIG, 'model.safetensors': 640, 'verification.json': JSON.stringify(RECORD) };

describe('requireVerified', () => {
  it('gives the conversion that was verified', async () => {
    expect(await requireVerified(URI, folder(whole))).toMatchObject({ files: 1, bytes: 640, boundBy: 'length' });
  });

  it.each<[string, Record<string, string | number>, string]>([
    ['no record', { 'config.json': CONFIG, 'model.safetensors': 640 }, 'has no verification.json'],
    ['a weight of another length', { ...whole, 'model.safetensors': 641 }, '641 bytes, 640 were verified'],
    ['another config', { ...whole, 'config.json': CONFIG.replace('2', '3') }, 'config.json was changed after'],
    ['one more file of weights', { ...whole, 'model-00002.safetensors': 9 }, 'model-00002.safetensors came after'],
    ['a record of nothing', { ...whole, 'verification.json': '{"verification":1,"files":[]}' }, 'is not the record'],
    ['no JSON for a record', { ...whole, 'verification.json': 'true' }, 'is not the record'],
  ])('row 63: refuses %s', async (_, files, why) => {
    await expect(requireVerified(URI, folder(files))).rejects.toMatchObject({
      code: 'CPT_INPUT_UNVERIFIED',
      message: expect.stringContaining(why),
    });
  });

  it('row 63: refuses a half-written folder', async () => {
    const { 'model.safetensors': _, ...half } = whole;
    await expect(requireVerified(URI, folder(half))).rejects.toMatchObject({ code: 'CPT_INPUT_CHECKPOINT_MISSING' });
  });

  describe('row 63: weights that were changed in their length', () => {
    const WEIGHTS = 'the weights as they were';
    const record = (weight: object) => ({
      verification: 1,
      files: [
        { name: 'config.json', bytes: CONFIG.length, sha256: sha256(CONFIG) },
        { name: 'model.safetensors', bytes: WEIGHTS.length, ...weight },
      ],
    });
    const files = (weight: object, weights = WEIGHTS) => ({
      ...{ 'config.json': CONFIG, 'model.safetensors': weights, 'verification.json': JSON.stringify(record(weight)) },
    });
    const CHANGED = WEIGHTS.replace('were', 'WERE');
    const refusal = (why: string) => ({ code: 'CPT_INPUT_UNVERIFIED', message: expect.stringContaining(why) });

    it('are refused by their digest', async () => {
      const digest = { sha256: sha256(WEIGHTS) };
      expect(await requireVerified(URI, folder(files(digest)))).toMatchObject({ boundBy: 'sha256' });
      // Copied to another place they have another time, and are the same.
      expect(await requireVerified(URI, folder(files({ ...digest, modifiedMs: 1 })))).toMatchObject({
        boundBy: 'sha256',
      });
      const changed = requireVerified(URI, folder(files(digest, CHANGED)));
      await expect(changed).rejects.toMatchObject(refusal('model.safetensors was changed after the verification'));
      const { sha256: _, ...withoutDigests } = folder(files(digest));
      await expect(requireVerified(URI, withoutDigests)).rejects.toMatchObject(refusal('cannot take'));
    });

    it('are refused by their time where no digest was taken', async () => {
      const timed = { modifiedMs: 1000 };
      expect(await requireVerified(URI, folder(files(timed)))).toMatchObject({ boundBy: 'time' });
      const changed = requireVerified(URI, folder(files(timed, CHANGED), 2000));
      await expect(changed).rejects.toMatchObject(refusal('another time than when it was verified'));
    });
  });
});

import { readFileSync } from 'node:fs';
import { bytesSource } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from './read.ts';
import { SafetensorsWriter } from './write.ts';

const tensors = [
  { name: 'norm', dtype: 'F32', shape: [3] },
  { name: 'näme', dtype: 'BF16', shape: [2, 3] },
  { name: 'scalar', dtype: 'BF16', shape: [] },
  { name: 'empty', dtype: 'I8', shape: [0, 2] },
  { name: 'mask', dtype: 'BOOL', shape: [3] },
] as const;
const data = Buffer.from('0000803f00000040000040bf' + '803f004040408040a040c040' + 'e040' + '010001', 'hex');

async function write(chunkBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const writer = new SafetensorsWriter({ write: async (bytes) => void parts.push(bytes.slice()) }, tensors, {
    format: 'pt',
  });
  await writer.start();
  for (let at = 0; at < data.byteLength; at += chunkBytes) await writer.append(data.subarray(at, at + chunkBytes));
  await writer.finish();
  const file = Buffer.concat(parts);
  expect(writer.byteLength).toBe(file.byteLength);
  return file;
}

describe('SafetensorsWriter', () => {
  it('writes the file that Python read as these values (fixtures/safetensors/verify.py), however it is cut', async () => {
    const committed = readFileSync(new URL('../../../fixtures/safetensors/written.safetensors', import.meta.url));
    for (const chunkBytes of [1, 5, 1000]) expect((await write(chunkBytes)).equals(committed)).toBe(true);
  });

  it('is read back', async () => {
    const file = await openSafetensors(bytesSource(await write(7)), 'written');
    expect([...file.tensors.keys()]).toEqual(['norm', 'näme', 'scalar', 'empty', 'mask']);
    expect(Buffer.from(await file.read('mask')).toString('hex')).toBe('010001');
  });

  it('refuses bytes too many and an end too early', async () => {
    const writer = new SafetensorsWriter({ write: async () => {} }, tensors);
    await writer.start();
    await writer.append(data.subarray(1));
    await expect(writer.finish()).rejects.toThrow('1 bytes of the declared tensors were not appended');
    await expect(writer.append(data.subarray(0, 2))).rejects.toMatchObject({ code: 'CPT_INPUT_INVALID' });
    await writer.append(data.subarray(0, 1));
    await expect(writer.finish()).resolves.toBeUndefined();
  });
});

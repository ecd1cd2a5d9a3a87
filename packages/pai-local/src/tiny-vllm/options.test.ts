import { describe, expect, it } from 'vitest';
import { parseServeOptions } from './options.ts';

describe('parseServeOptions', () => {
  it('reads the command of a service', () => {
    const args = 'serve /model --served-model-name qwen2-tiny --port 8100 --max-model-len 512 --tensor-parallel-size 4';
    expect(parseServeOptions(args.split(' '))).toEqual({
      modelDirectory: '/model',
      servedModelName: 'qwen2-tiny',
      host: '127.0.0.1',
      port: 8100,
      maxModelLength: 512,
    });
  });

  it("has vLLM's defaults: the folder as name, port 8000", () => {
    expect(parseServeOptions(['serve', '/model'])).toMatchObject({
      servedModelName: '/model',
      port: 8000,
      maxModelLength: undefined,
    });
  });

  it.each([
    ['serve', 'usage: vllm serve MODEL_DIR'],
    ['chat /model', 'usage: vllm serve MODEL_DIR'],
    ['serve /model /other', 'usage: vllm serve MODEL_DIR'],
    ['serve /model --port http', '--port is "http"'],
    ['serve /model --port 70000', '--port is "70000"; it must be a whole number from 0 to 65535'],
    ['serve /model --max-model-len 0', '--max-model-len is "0"'],
    ['serve /model --quantization awq', '--quantization'],
  ])('refuses "%s"', (args, message) => {
    expect(() => parseServeOptions(args.split(' '))).toThrow(message);
  });
});

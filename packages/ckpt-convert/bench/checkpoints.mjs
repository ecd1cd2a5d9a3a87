/** The models of the measurement, and a checkpoint of one with bytes that no file system can compress. */
import { createCipheriv } from 'node:crypto';
import { commitCheckpoint, writeMegatronRankFiles } from '../dist/index.js';

const common = { family: 'qwen2', normEpsilon: 1e-6, ropeTheta: 1e6, isTied: false, hasQkvBias: true };

/** Qwen2-72B; fewer layers make it smaller. */
export const QWEN2_72B = {
  ...common,
  ...{ layers: 80, hiddenSize: 8192, ffnHiddenSize: 29568, heads: 64, queryGroups: 8, headDim: 128 },
  ...{ vocabSize: 152064, maxPositionEmbeddings: 32768 },
};

const SMALL = {
  ...common,
  ...{ layers: 4, hiddenSize: 2048, ffnHiddenSize: 5632, heads: 32, queryGroups: 8, headDim: 64 },
  ...{ vocabSize: 32_000, maxPositionEmbeddings: 4096 },
};

/** Layers of a model about `bytes` large, a multiple of four. */
function layersFor(model, bytes) {
  const { hiddenSize, ffnHiddenSize, heads, queryGroups, headDim, vocabSize } = model;
  const tables = 2 * 2 * vocabSize * hiddenSize;
  const layer = 2 * hiddenSize * (2 * (heads + queryGroups) * headDim + 3 * ffnHiddenSize);
  return 4 * Math.max(1, Math.round((bytes - tables) / layer / 4));
}

/** A model about `gigabytes` large: a small one with more layers, or Qwen2-72B with fewer. */
export const denseModel = (gigabytes) => ({ ...SMALL, layers: layersFor(SMALL, gigabytes * 1e9) });
export const wideModel = (gigabytes) => ({ ...QWEN2_72B, layers: layersFor(QWEN2_72B, gigabytes * 1e9) });

function shapeOf(model, name) {
  const { hiddenSize, ffnHiddenSize, queryGroups, headDim, vocabSize } = model;
  if (/(embed_tokens|lm_head)\.weight$/.test(name)) return [vocabSize, hiddenSize];
  if (/norm\.weight$|q_proj\.bias$/.test(name)) return [hiddenSize];
  if (/[kv]_proj\.bias$/.test(name)) return [queryGroups * headDim];
  if (/[kv]_proj\.weight$/.test(name)) return [queryGroups * headDim, hiddenSize];
  if (/(gate|up)_proj\.weight$/.test(name)) return [ffnHiddenSize, hiddenSize];
  if (/down_proj\.weight$/.test(name)) return [hiddenSize, ffnHiddenSize];
  return [hiddenSize, hiddenSize];
}

/** Writes a checkpoint of `denseModel` in BF16. */
export async function writeDenseCheckpoint(directory, model, parallel) {
  const tensors = {
    shapeOf: (name) => ({ dtype: 'BF16', shape: shapeOf(model, name) }),
    async read(name) {
      const bytes = 2 * shapeOf(model, name).reduce((product, size) => product * size, 1);
      const key = Buffer.from(name.padStart(16).slice(-16));
      const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16, name.length));
      return new Uint8Array(cipher.update(new Uint8Array(bytes)));
    },
  };
  await writeMegatronRankFiles({ directory, iteration: 1, model, parallel, tensors, dtype: 'BF16' });
  await commitCheckpoint(directory, 1);
}

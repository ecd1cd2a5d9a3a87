import { hfLayerGraph } from './graphs/hf-layer.ts';
import { type LayerwiseModel, type PassContext, rowsOf } from './layerwise.ts';
import { EMBEDDING, FINAL_NORM, headName, layerParameters, layerPrefix } from './model-shape.ts';
import { float32Tensor, type Tensor } from './session.ts';
import { embedTokens, headLoss } from './vocabulary.ts';
import { readWeight, type WeightSource, weightDtype } from './weights.ts';

/** A model with Hugging Face weights. */
export function openHfModel(pass: PassContext, weights: WeightSource): LayerwiseModel {
  const { shape, batch, runs, sessions } = pass;
  const width = shape.hiddenSize;
  const parameters = layerParameters(shape);
  const table = (name: string) => ({ source: weights, name });
  return {
    embed: () => embedTokens(pass, [table(EMBEDDING)]),
    async runLayer(layer, hidden) {
      const prefix = layerPrefix(layer);
      const dtypeOf = (name: string) => weightDtype(weights, prefix + name);
      const key = `hf ${parameters.map(({ name }) => dtypeOf(name)).join(' ')}`;
      const session = await sessions.get(key, () => hfLayerGraph(shape, batch.length, dtypeOf));
      const feeds: Record<string, Tensor> = {};
      for (const { name, shape: size } of parameters) feeds[name] = await readWeight(weights, prefix + name, size);
      for (const run of runs) {
        const size = [run.toRow - run.fromRow, width];
        const rows = rowsOf(hidden, run, width);
        const after = new Float32Array(rows.length);
        await session.run({ ...feeds, ...run.rotary, x: float32Tensor(rows, size) }, { y: float32Tensor(after, size) });
        rows.set(after);
      }
    },
    loss: (hidden) => headLoss(pass, hidden, table(FINAL_NORM), [table(headName(shape))]),
    close: () => sessions.close(),
  };
}

import { EMBEDDING, FINAL_NORM, headName, layerPrefix, type ModelShape } from '../model-shape.ts';
import { Graph, type Value } from '../onnx-writer.ts';
import { DifferentiablePieces } from './differentiable-pieces.ts';
import { stackedParameters } from './stacked-parameters.ts';

export interface TrainStepOptions {
  readonly shape: ModelShape;
  readonly batchSize: number;
  readonly sequenceLength: number;
  /** False leaves the backward half out. */
  readonly withGradients: boolean;
}

/**
 * A graph of one training step. Inputs: `inputs` and `targets` int32 `[B·S]`, and every stacked parameter under its name.
 * Outputs: `loss`, the mean negative log-likelihood of the targets, and `gradient.<parameter>` for each of them.
 */
export function trainStepGraph(options: TrainStepOptions): Uint8Array {
  const { shape, batchSize, sequenceLength } = options;
  const rows = batchSize * sequenceLength;
  const graph = new Graph();
  const parameters = stackedParameters(shape);
  for (const parameter of parameters) graph.input(parameter.name, 'float32', parameter.shape);
  const inputs = graph.input('inputs', 'int32', [rows]);
  const targets = graph.input('targets', 'int32', [rows]);
  const pieces = new DifferentiablePieces(graph, shape, batchSize, sequenceLength);

  const [embedded, embeddingBackward] = pieces.embedding(inputs, EMBEDDING);
  const backwards = [embeddingBackward];
  let hidden = embedded;
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const piece of ['attention', 'mlp'] as const) {
      const [value, backward] = pieces[piece](hidden, layerPrefix(layer));
      hidden = value;
      backwards.push(backward);
    }
  }
  const [normed, normBackward] = pieces.norm(hidden, FINAL_NORM);
  const [loss, lossBackward] = pieces.loss(normed, targets, headName(shape));
  graph.output('loss', loss, 'float32', []);
  if (!options.withGradients) return graph.serialize();

  let gradient = normBackward(lossBackward());
  for (const backward of backwards.reverse()) gradient = backward(gradient);
  for (const { name, shape: size } of parameters) {
    graph.output(`gradient.${name}`, pieces.gradients.get(name) as Value, 'float32', size);
  }
  return graph.serialize();
}

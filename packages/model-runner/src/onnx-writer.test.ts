import { expect, it } from 'vitest';
import { readFixture } from '../test/fixtures.ts';
import { ELEMENT_TYPES, Graph } from './onnx-writer.ts';

it('writes the very bytes that the ONNX library writes for the same graph', async () => {
  const graph = new Graph();
  const bits = graph.input('bits', 'uint16', [300, 2]);
  const x = graph.input('x', 'float32', ['N', 2]);
  const limit = graph.constant('float32', [], [1.5]);
  const last = graph.constant('int64', [1, 1], [-1]);
  const half = graph.op('BitCast', [bits], { to: ELEMENT_TYPES.bfloat16 });
  const weight = graph.op('Cast', [half], { to: ELEMENT_TYPES.float32 });
  const transposed = graph.op('Transpose', [weight], { perm: [1, 0] });
  const product = graph.op('FusedMatMul', [x, transposed], { alpha: { float: 0.5 } });
  const clipped = graph.op('Clip', [product, '', limit]);
  const scattered = graph.op('ScatterND', [clipped, last, clipped], { reduction: 'add' });
  graph.output('y', scattered, 'float32', ['N', 300]);
  graph.output('z', graph.op('Softmax', [scattered], { axis: -1 }), 'float32', ['N', 300]);
  expect(Buffer.from(graph.serialize()).toString('hex')).toBe(
    Buffer.from(await readFixture('graph.onnx')).toString('hex'),
  );
});

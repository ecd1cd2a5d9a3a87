import type { ModelShape } from '../model-shape.ts';
import { ELEMENT_TYPES, type Graph, type Value } from '../onnx-writer.ts';
import { rotaryTables } from '../rotary.ts';
import { addLinear, addSoftmax, reshape } from './decoder-pieces.ts';

/** Adds the backward half of a piece: from the gradient of the loss by its output to the gradient by its input. */
export type Backward = (gradient: Value) => Value;

/** The output of a piece and its backward half, which also notes the gradients of the weights. */
export type Piece = readonly [output: Value, backward: Backward];

/** Swaps positions and heads: `[B, S, heads, d]` and `[B, heads, S, d]`. */
const SWAP_HEADS = { perm: [0, 2, 1, 3] };

/**
 * The pieces of a decoder with their derivatives, over rows `[B·S, width]`. A name with d in front is the gradient of the loss by
 * what follows: dy by y. Weights are named by the graph inputs that hold them (see `stackedParameters`).
 */
export class DifferentiablePieces {
  /** Gradients by weight, once the backward halves are added. */
  readonly gradients = new Map<string, Value>();
  readonly #graph: Graph;
  readonly #shape: ModelShape;
  readonly #batch: number;
  readonly #length: number;
  readonly #firstAxis: Value;
  readonly #lastAxis: Value;
  readonly #rotary: { readonly cos: Value; readonly sin: Value; readonly negatedSin: Value };
  readonly #mask: Value;

  constructor(graph: Graph, shape: ModelShape, batch: number, length: number) {
    this.#graph = graph;
    this.#shape = shape;
    this.#batch = batch;
    this.#length = length;
    this.#firstAxis = graph.constant('int64', [1], [0]);
    this.#lastAxis = graph.constant('int64', [1], [-1]);
    const { cos, sin } = rotaryTables(shape, 0, length);
    const forBatch = (table: Float32Array) =>
      graph.constant(
        'float32',
        [batch, length, shape.headDim / 2],
        Array(batch)
          .fill([...table])
          .flat(),
      );
    this.#rotary = { cos: forBatch(cos), sin: forBatch(sin), negatedSin: forBatch(sin.map((value) => -value)) };
    this.#mask = graph.constant('float32', [length, length], causalMask(length));
  }

  embedding(tokens: Value, weight: string): Piece {
    const output = this.#graph.op('Gather', [weight, tokens]);
    return [
      output,
      (dy) => {
        // A tied head has left its own gradient here.
        const before = this.gradients.get(weight) ?? this.#zeroTable();
        this.gradients.set(weight, this.#addAtRows(before, tokens, dy));
        return dy;
      },
    ];
  }

  /** y = x · r · w with r = 1 / √(mean x² + ε), per row. */
  norm(x: Value, weight: string): Piece {
    const attributes = { axis: -1, epsilon: { float: this.#shape.normEpsilon } };
    // An operator of onnxruntime in ONNX's own name space; it gives r as well.
    const [y, r] = this.#graph.ops('SimplifiedLayerNormalization', 2, [x, weight], attributes) as [Value, Value];
    return [
      y,
      (dy) => {
        // With u = x · r: dw = Σ dy · u over rows, and dx = r · (dy · w − u · mean(dy · w · u)).
        const u = this.#mul(x, r);
        const dyU = this.#mul(dy, u);
        this.gradients.set(weight, this.#sumRows(dyU));
        const mean = this.#graph.op('ReduceMean', [this.#mul(dyU, weight), this.#lastAxis], { keepdims: 1 });
        return this.#mul(r, this.#sub(this.#mul(dy, weight), this.#mul(u, mean)));
      },
    ];
  }

  /** y = x Wᵀ + b, with W `[out, in]`. */
  linear(x: Value, weight: string, bias?: string): Piece {
    return [
      addLinear(this.#graph, x, weight, bias),
      (dy) => {
        this.gradients.set(weight, this.#graph.op('Gemm', [dy, x], { transA: 1 }));
        if (bias !== undefined) this.gradients.set(bias, this.#sumRows(dy));
        return this.#graph.op('Gemm', [dy, weight]);
      },
    ];
  }

  /** y = x + o_proj(attention(norm(x))). */
  attention(x: Value, prefix: string): Piece {
    const graph = this.#graph;
    const { heads, queryGroups: groups, headDim, hasQkvBias } = this.#shape;
    const rows = this.#batch * this.#length;
    const allHeads = heads + 2 * groups;
    const attention = `${prefix}self_attn.`;
    const bias = hasQkvBias ? `${attention}qkv_proj.bias` : undefined;
    const [h, normBackward] = this.norm(x, `${prefix}input_layernorm.weight`);
    const [qkv, qkvBackward] = this.linear(h, `${attention}qkv_proj.weight`, bias);
    const perHead = this.#byHead(qkv, allHeads);
    const counts = graph.constant('int64', [3], [heads, groups, groups]);
    const [q, k, v] = graph.ops('Split', 3, [perHead, counts], { axis: 1 }) as [Value, Value, Value];
    const { sin, negatedSin } = this.#rotary;
    const core = this.#attend(this.#rotate(q, sin), this.#rotate(k, sin), v);
    const joined = reshape(graph, graph.op('Transpose', [core.output], SWAP_HEADS), [rows, heads * headDim]);
    const [out, outBackward] = this.linear(joined, `${attention}o_proj.weight`);
    return [
      this.#add(x, out),
      (dy) => {
        const { dQ, dK, dV } = core.backward(this.#byHead(outBackward(dy), heads));
        // Turning back is turning by the negated angle.
        const parts = [this.#rotate(dQ, negatedSin), this.#rotate(dK, negatedSin), dV];
        const dPerHead = graph.op('Transpose', [graph.op('Concat', parts, { axis: 1 })], SWAP_HEADS);
        return this.#add(dy, normBackward(qkvBackward(reshape(graph, dPerHead, [rows, allHeads * headDim]))));
      },
    ];
  }

  /**
   * Causal attention of rotated q `[B, heads, S, d]` on k and v `[B, groups, S, d]`. The heads of a group stand below each other
   * as rows of one matrix, so that each group is one product, and the sums over its heads in dK and dV come with it.
   */
  #attend(q: Value, K: Value, V: Value) {
    const graph = this.#graph;
    const { heads, queryGroups: groups, headDim } = this.#shape;
    const [batch, length] = [this.#batch, this.#length];
    const perGroup = (x: Value, width: number) => reshape(graph, x, [batch, groups, (heads / groups) * length, width]);
    const perHead = (x: Value, width: number) => reshape(graph, x, [batch, heads, length, width]);
    const alpha = { float: 1 / Math.sqrt(headDim) };
    const Q = perGroup(q, headDim);
    const scores = perHead(graph.op('FusedMatMul', [Q, K], { transB: 1, alpha }), length);
    const P = perGroup(graph.op('Softmax', [this.#add(scores, this.#mask)], { axis: -1 }), length);
    const O = graph.op('MatMul', [P, V]);
    return {
      output: perHead(O, headDim),
      backward: (dOutput: Value) => {
        const dO = perGroup(dOutput, headDim);
        const dV = graph.op('FusedMatMul', [P, dO], { transA: 1 });
        const dP = graph.op('FusedMatMul', [dO, V], { transB: 1 });
        // dS = P · (dP − Σ P · dP), and a row's Σ P · dP equals Σ O · dO, which is d wide instead of S.
        const sum = graph.op('ReduceSum', [this.#mul(O, dO), this.#lastAxis], { keepdims: 1 });
        const dS = this.#mul(P, this.#sub(dP, sum));
        const dQ = perHead(graph.op('FusedMatMul', [dS, K], { alpha }), headDim);
        const dK = graph.op('FusedMatMul', [dS, Q], { transA: 1, alpha });
        return { dQ, dK, dV };
      },
    };
  }

  /** y = x + down_proj(silu(gate) · up) of norm(x), with silu(g) = g · σ(g). */
  mlp(x: Value, prefix: string): Piece {
    const graph = this.#graph;
    const { ffnHiddenSize } = this.#shape;
    const [h, normBackward] = this.norm(x, `${prefix}post_attention_layernorm.weight`);
    const [gateUp, gateUpBackward] = this.linear(h, `${prefix}mlp.gate_up_proj.weight`);
    const halves = graph.constant('int64', [2], [ffnHiddenSize, ffnHiddenSize]);
    const [gate, up] = graph.ops('Split', 2, [gateUp, halves], { axis: 1 }) as [Value, Value];
    const sigma = graph.op('Sigmoid', [gate]);
    const silu = this.#mul(gate, sigma);
    const [out, downBackward] = this.linear(this.#mul(silu, up), `${prefix}mlp.down_proj.weight`);
    return [
      this.#add(x, out),
      (dy) => {
        const dInner = downBackward(dy);
        // The derivative of silu is σ + silu · (1 − σ).
        const slope = this.#add(sigma, this.#mul(silu, this.#sub(this.#scalar(1), sigma)));
        const dGate = this.#mul(this.#mul(dInner, up), slope);
        const dGateUp = graph.op('Concat', [dGate, this.#mul(dInner, silu)], { axis: 1 });
        return this.#add(dy, normBackward(gateUpBackward(dGateUp)));
      },
    ];
  }

  /** Mean over rows of log Σ exp(logits) − logit of the target; its backward half starts the chain. */
  loss(x: Value, targets: Value, weight: string): readonly [loss: Value, backward: () => Value] {
    const graph = this.#graph;
    const rows = this.#batch * this.#length;
    const logits = addLinear(graph, x, weight);
    const { probabilities, logSum } = addSoftmax(graph, logits);
    const chosen = graph.op('GatherElements', [logits, reshape(graph, targets, [rows, 1])], { axis: 1 });
    return [
      graph.op('ReduceMean', [this.#sub(logSum, chosen)], { keepdims: 0 }),
      () => {
        // dLogits = (probabilities − one-hot) / rows. The one-hot half picks one row of W, or adds to one, per target; it is
        // gathered and scattered there instead of being spread over [B·S, vocabSize].
        const alpha = { float: 1 / rows };
        const share = this.#scalar(-1 / rows);
        const picked = this.#mul(graph.op('Gather', [weight, targets]), share);
        const added = this.#addAtRows(this.#zeroTable(), targets, this.#mul(x, share));
        this.gradients.set(weight, graph.op('Gemm', [probabilities, x, added], { transA: 1, alpha }));
        return graph.op('Gemm', [probabilities, weight, picked], { alpha });
      },
    ];
  }

  /** Rows `[B·S, heads · d]` as `[B, heads, S, d]`. */
  #byHead(x: Value, heads: number): Value {
    const split = reshape(this.#graph, x, [this.#batch, this.#length, heads, this.#shape.headDim]);
    return this.#graph.op('Transpose', [split], SWAP_HEADS);
  }

  #rotate(x: Value, sin: Value): Value {
    return this.#graph.op('RotaryEmbedding', [x, this.#rotary.cos, sin], { interleaved: 0 });
  }

  /** `table` with row i of `values` added to its row `tokens[i]`; a token may come more than once. */
  #addAtRows(table: Value, tokens: Value, values: Value): Value {
    const column = reshape(this.#graph, tokens, [this.#batch * this.#length, 1]);
    const indices = this.#graph.op('Cast', [column], { to: ELEMENT_TYPES.int64 });
    return this.#graph.op('ScatterND', [table, indices, values], { reduction: 'add' });
  }

  #zeroTable(): Value {
    const size = this.#graph.constant('int64', [2], [this.#shape.vocabSize, this.#shape.hiddenSize]);
    return this.#graph.op('ConstantOfShape', [size]);
  }

  #sumRows(x: Value): Value {
    return this.#graph.op('ReduceSum', [x, this.#firstAxis], { keepdims: 0 });
  }
  #scalar(value: number): Value {
    return this.#graph.constant('float32', [], [value]);
  }
  #mul(a: Value, b: Value): Value {
    return this.#graph.op('Mul', [a, b]);
  }
  #add(a: Value, b: Value): Value {
    return this.#graph.op('Add', [a, b]);
  }
  #sub(a: Value, b: Value): Value {
    return this.#graph.op('Sub', [a, b]);
  }
}

/** `[S, S]` to add to scores: 0 on and below the diagonal, a number that no score outweighs above it. */
function causalMask(length: number): Float32Array {
  const mask = new Float32Array(length * length);
  for (let row = 0; row < length; row++) mask.fill(-1e9, row * length + row + 1, (row + 1) * length);
  return mask;
}

/** A run of the flat arrays that is decayed, or is not, as a whole. */
export interface AdamWSegment {
  readonly from: number;
  readonly to: number;
  readonly weightDecay: number;
}

export interface AdamWOptions {
  readonly segments: readonly AdamWSegment[];
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** Gradients whose L2 norm over all parameters is above this are scaled down to it. */
  readonly clipGrad: number;
}

export interface AdamW {
  /**
   * Updates `parameters` in place and gives back the norm of the gradients before clipping. A norm that is not finite
   * updates nothing, neither parameters nor moments.
   */
  update(parameters: Float32Array, gradients: Float32Array, learningRate: number): number;
}

/**
 * Adam with decoupled weight decay and bias correction over `size` parameters.
 * Source: pytorch/pytorch@v2.13.0, torch/optim/adam.py, _single_tensor_adam; torch/nn/utils/clip_grad.py.
 */
export function createAdamW(size: number, options: AdamWOptions): AdamW {
  const { segments, epsilon, clipGrad } = options;
  const [beta1, beta2] = options.betas;
  const means = new Float32Array(size);
  const squares = new Float32Array(size);
  let updates = 0;
  return {
    update(parameters, gradients, learningRate) {
      const gradNorm = l2Norm(gradients);
      if (!Number.isFinite(gradNorm)) return gradNorm;
      updates++;
      for (const { from, to, weightDecay } of segments) {
        updateSegment(parameters, gradients, means, squares, from, to, {
          beta1,
          beta2,
          clip: Math.min(1, clipGrad / (gradNorm + 1e-6)),
          rate: learningRate / (1 - beta1 ** updates),
          correction: 1 / Math.sqrt(1 - beta2 ** updates),
          epsilon,
          keep: 1 - learningRate * weightDecay,
        });
      }
      return gradNorm;
    },
  };
}

interface Factors {
  readonly beta1: number;
  readonly beta2: number;
  readonly clip: number;
  readonly rate: number;
  readonly correction: number;
  readonly epsilon: number;
  readonly keep: number;
}

/** A function of its own, because the loop runs half as fast inside a closure. */
function updateSegment(
  parameters: Float32Array,
  gradients: Float32Array,
  means: Float32Array,
  squares: Float32Array,
  from: number,
  to: number,
  factors: Factors,
): void {
  const { beta1, beta2, clip, rate, correction, epsilon, keep } = factors;
  for (let i = from; i < to; i++) {
    const gradient = (gradients[i] as number) * clip;
    const mean = beta1 * (means[i] as number) + (1 - beta1) * gradient;
    const square = beta2 * (squares[i] as number) + (1 - beta2) * gradient * gradient;
    means[i] = mean;
    squares[i] = square;
    parameters[i] = (parameters[i] as number) * keep - (rate * mean) / (Math.sqrt(square) * correction + epsilon);
  }
}

function l2Norm(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2;
  return Math.sqrt(sum);
}

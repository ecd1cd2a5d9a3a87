import type { ModelShape } from './model-shape.ts';

/** How rotary frequencies are slowed down for contexts longer than those of the pre-training. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      /** Llama 3.1. */
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    };

/** Cosines and sines of rotary position embedding, each `[positions, headDim / 2]`, row-major. */
export interface RotaryTables {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/**
 * Tables for positions `from … from + count - 1`. Each intermediate value is rounded to float32 exactly where torch rounds it
 * in the rotary embedding of transformers (exponent, power, reciprocal, each step of the scaling, angle): at position 2000 an angle
 * kept in double precision is off by 1e-4 from the one the model was trained with.
 */
export function rotaryTables(
  { headDim, ropeTheta, ropeScaling }: Pick<ModelShape, 'headDim' | 'ropeTheta' | 'ropeScaling'>,
  from: number,
  count: number,
): RotaryTables {
  const half = headDim / 2;
  const cos = new Float32Array(count * half);
  const sin = new Float32Array(count * half);
  for (let pair = 0; pair < half; pair++) {
    const power = Math.fround(ropeTheta ** Math.fround((2 * pair) / headDim));
    const frequency = scaleFrequency(Math.fround(1 / power), ropeScaling);
    for (let row = 0; row < count; row++) {
      const angle = Math.fround((from + row) * frequency);
      cos[row * half + pair] = Math.cos(angle);
      sin[row * half + pair] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** Source: huggingface/transformers v5.24.0, modeling_rope_utils.py, `_compute_llama3_parameters`; Megatron's `_apply_scaling` is the same. */
function scaleFrequency(frequency: number, scaling: RopeScaling | undefined): number {
  const { fround } = Math;
  if (!scaling) return frequency;
  const slow = fround(frequency / scaling.factor);
  if (scaling.type === 'linear') return slow;
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: positions } = scaling;
  const wavelength = fround(fround(1 / frequency) * fround(2 * Math.PI));
  if (wavelength > positions / low) return slow;
  if (wavelength < positions / high) return frequency;
  const turns = fround(fround(1 / wavelength) * positions);
  const smooth = fround(fround(turns - low) / (high - low));
  const slowed = fround(fround(fround(1 - smooth) * frequency) / factor);
  return fround(slowed + fround(smooth * frequency));
}

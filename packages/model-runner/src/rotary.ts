/** Cosines and sines of rotary position embedding, each `[positions, headDim / 2]`, row-major. */
export interface RotaryTables {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/**
 * Tables for positions `from … from + count - 1`. Each intermediate value is rounded to float32 exactly where torch rounds it
 * in Qwen2's rotary embedding (exponent, power, reciprocal, angle): at position 2000 an angle kept in double precision is off
 * by 1e-4 from the one the model was trained with.
 */
export function rotaryTables(headDim: number, theta: number, from: number, count: number): RotaryTables {
  const half = headDim / 2;
  const cos = new Float32Array(count * half);
  const sin = new Float32Array(count * half);
  for (let pair = 0; pair < half; pair++) {
    const power = Math.fround(theta ** Math.fround((2 * pair) / headDim));
    const frequency = Math.fround(1 / power);
    for (let row = 0; row < count; row++) {
      const angle = Math.fround((from + row) * frequency);
      cos[row * half + pair] = Math.cos(angle);
      sin[row * half + pair] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

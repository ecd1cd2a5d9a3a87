import type { Shape } from '@pai-cpt/core';
import {
  joinColumns,
  type Placement,
  type RowRun,
  stackHalves,
  stackRows,
  takeHalf,
  takeQkv,
  trimRows,
} from './copies.ts';
import type { ModelConfig } from './model-config.ts';

/** A size by its meaning: `attention` = heads × head dim, `keyValue` = query groups × head dim. */
export type Dimension = 'hidden' | 'ffn' | 'attention' | 'keyValue' | 'headDim' | 'vocab';

/** A Hugging Face parameter; `*` in the name stands for the layer number. */
export interface HfParameter {
  readonly hfName: string;
  readonly dimensions: readonly Dimension[];
}

/**
 * How one Megatron parameter becomes one or more Hugging Face ones, and along which axis its shards lie:
 * `replicated` whole on each rank; `stacked` rows; `joined` columns; `vocabRows` rows with padding at the end of the global
 * table; `qkv` rows, query groups one after the other; `gated` per rank its gate rows, then its up rows.
 */
export interface Mapping {
  readonly kind: 'replicated' | 'stacked' | 'joined' | 'vocabRows' | 'qkv' | 'gated';
  readonly parameters: readonly HfParameter[];
}

export const replicated = (hfName: string, ...dimensions: Dimension[]): Mapping => ({
  kind: 'replicated',
  parameters: [{ hfName, dimensions }],
});

export const stacked = (hfName: string, ...dimensions: Dimension[]): Mapping => ({
  kind: 'stacked',
  parameters: [{ hfName, dimensions }],
});

export const joined = (hfName: string, ...dimensions: Dimension[]): Mapping => ({
  kind: 'joined',
  parameters: [{ hfName, dimensions }],
});

export const vocabRows = (hfName: string): Mapping => ({
  kind: 'vocabRows',
  parameters: [{ hfName, dimensions: ['vocab', 'hidden'] }],
});

/** `prefix` is the attention block: `…q_proj.weight` and so on are its parts. */
export function qkv(prefix: string, suffix: 'weight' | 'bias'): Mapping {
  const tail: Dimension[] = suffix === 'weight' ? ['hidden'] : [];
  const part = (letter: string, rows: Dimension) => ({
    hfName: `${prefix}.${letter}_proj.${suffix}`,
    dimensions: [rows, ...tail],
  });
  return { kind: 'qkv', parameters: [part('q', 'attention'), part('k', 'keyValue'), part('v', 'keyValue')] };
}

/** `prefix` is the MLP block with `gate_proj` and `up_proj`. */
export function gated(prefix: string): Mapping {
  const part = (name: string): HfParameter => ({ hfName: `${prefix}.${name}.weight`, dimensions: ['ffn', 'hidden'] });
  return { kind: 'gated', parameters: [part('gate_proj'), part('up_proj')] };
}

/** Elements along a dimension of this model. */
export function dimensionSize(dimension: Dimension, model: ModelConfig): number {
  switch (dimension) {
    case 'hidden':
      return model.hiddenSize;
    case 'ffn':
      return model.ffnHiddenSize;
    case 'attention':
      return model.heads * model.headDim;
    case 'keyValue':
      return model.queryGroups * model.headDim;
    case 'headDim':
      return model.headDim;
    case 'vocab':
      return model.vocabSize;
  }
}

/** The Hugging Face shape of a parameter. */
export function hfShape(parameter: HfParameter, model: ModelConfig): number[] {
  return parameter.dimensions.map((dimension) => dimensionSize(dimension, model));
}

/** `[rows, columns]` of a tensor taken as a matrix: the first size and the product of the others. */
export function matrixSize(shape: Shape): [rows: number, columns: number] {
  return [shape[0] ?? 1, shape.slice(1).reduce((product, size) => product * size, 1)];
}

/**
 * The shape each rank of `ranks` must hold.
 * @returns fractional sizes where the model does not divide; the caller tells the user which.
 */
export function shardShape(mapping: Mapping, model: ModelConfig, ranks: number, paddedVocabSize: number): number[] {
  const shapes = mapping.parameters.map((parameter) => hfShape(parameter, model));
  const [rows, ...tail] = shapes[0] as [number, ...number[]];
  switch (mapping.kind) {
    case 'replicated':
      return [rows, ...tail];
    case 'joined':
      return [rows, ...tail.map((size, at) => (at === 0 ? size / ranks : size))];
    case 'vocabRows':
      return [paddedVocabSize / ranks, ...tail];
    case 'stacked':
    case 'qkv':
    case 'gated':
      return [shapes.reduce((sum, shape) => sum + (shape[0] as number), 0) / ranks, ...tail];
  }
}

/** Where the shards of a rank grid lie in the global matrix. `shape` is that of one shard. */
export function placeShards(mapping: Mapping, shape: Shape, ranks: number): Placement[] {
  const [rows, columns] = matrixSize(shape);
  switch (mapping.kind) {
    case 'replicated':
      return stackRows(1, rows, columns);
    case 'joined':
      return joinColumns(ranks, rows, columns);
    case 'gated':
      return stackHalves(ranks, rows / 2, columns);
    case 'stacked':
    case 'vocabRows':
    case 'qkv':
      return stackRows(ranks, rows, columns);
  }
}

/** The rows of the global matrix that make the mapping's parameter number `part`. */
export function unpackRows(mapping: Mapping, part: number, model: ModelConfig): RowRun[] {
  const { heads, queryGroups, headDim, ffnHiddenSize } = model;
  switch (mapping.kind) {
    case 'gated':
      return takeHalf(part as 0 | 1, ffnHiddenSize);
    case 'qkv':
      return takeQkv((['q', 'k', 'v'] as const)[part as 0 | 1 | 2], queryGroups, heads / queryGroups, headDim);
    case 'replicated':
    case 'stacked':
    case 'joined':
    case 'vocabRows':
      return trimRows(hfShape(mapping.parameters[part] as HfParameter, model)[0] as number);
  }
}

/** The layer number where `pattern` has `*`, `'none'` when the pattern has no `*`, undefined when the name differs. */
export function matchName(pattern: string, name: string): number | 'none' | undefined {
  const star = pattern.indexOf('*');
  if (star < 0) return pattern === name ? 'none' : undefined;
  const [before, after] = [pattern.slice(0, star), pattern.slice(star + 1)];
  if (!name.startsWith(before) || !name.endsWith(after)) return undefined;
  const middle = name.slice(before.length, name.length - after.length);
  return /^\d+$/.test(middle) ? Number(middle) : undefined;
}

/** The pattern with its `*` replaced. */
export function nameAt(pattern: string, layer: number | 'none'): string {
  return pattern.replace('*', String(layer));
}

import { FormatError } from '@pai-cpt/core';
import { isKind, type PickleValue, type TorchTensor } from './pickle-values.ts';

/** Deepest nesting that a consumer may meet, so that it can recurse; a checkpoint has about ten levels. */
export const MAX_NESTING = 500;
/** Most values that a walk may meet when it enters shared values again and again, as a printer does. */
export const MAX_EXPANSION = 20_000_000;

interface Frame {
  readonly value: object;
  readonly children: readonly (readonly [label: string, value: PickleValue])[];
  next: number;
  expansion: number;
  nesting: number;
}

/**
 * Proves that values can be walked: no cycle, no depth past `MAX_NESTING`, no "billion laughs" in which a few shared lists
 * stand for more values than `MAX_EXPANSION`. Gives the tensors with the path of their first place, `model.decoder.…weight`.
 * @throws FormatError `CPT_PICKLE_LIMIT`.
 */
export function walkGraph(root: PickleValue, file: string): Map<TorchTensor, string> {
  const tensors = new Map<TorchTensor, string>();
  const finished = new Map<object, { readonly expansion: number; readonly nesting: number }>();
  const open = new Set<object>();
  const frames: Frame[] = [];
  enter(root);
  for (let frame = frames.at(-1); frame; frame = frames.at(-1)) {
    const child = frame.children[frame.next];
    if (child === undefined) leave(frame);
    else {
      frame.next++;
      enter(child[1]);
    }
  }
  return tensors;

  function enter(value: PickleValue): void {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
      add(1, 0);
      return;
    }
    const known = finished.get(value);
    if (known) {
      add(known.expansion, known.nesting);
      return;
    }
    if (open.has(value)) throw limit(`${pathOf(frames)} contains itself`);
    if (isKind(value, 'tensor')) tensors.set(value, pathOf(frames));
    if (frames.length >= MAX_NESTING) throw limit(`values are nested more than ${MAX_NESTING} deep`);
    open.add(value);
    frames.push({ value, children: childrenOf(value), next: 0, expansion: 1, nesting: 0 });
  }

  function leave({ value, expansion, nesting }: Frame): void {
    frames.pop();
    open.delete(value);
    finished.set(value, { expansion, nesting: nesting + 1 });
    add(expansion, nesting + 1);
  }

  /** Counts a finished child into its parent. */
  function add(expansion: number, nesting: number): void {
    const parent = frames.at(-1);
    if (!parent) return;
    parent.expansion += expansion;
    parent.nesting = Math.max(parent.nesting, nesting);
    if (parent.expansion > MAX_EXPANSION) throw limit(`shared values stand for more than ${MAX_EXPANSION} values`);
    if (frames.length + parent.nesting > MAX_NESTING) throw limit(`values are nested more than ${MAX_NESTING} deep`);
  }

  function limit(why: string): FormatError {
    return new FormatError('CPT_PICKLE_LIMIT', `${file}: ${why}; this is no checkpoint`, { file });
  }
}

function childrenOf(value: object & PickleValue): (readonly [string, PickleValue])[] {
  if (value instanceof Map) {
    return [...value].flatMap(([key, child]) =>
      typeof key === 'object'
        ? [['<key>', key] as const, ['<value>', child] as const]
        : [[String(key), child] as const],
    );
  }
  if (value instanceof Set) return [...value].map((child) => ['<item>', child]);
  if (Array.isArray(value)) return value.map((child, i) => [String(i), child]);
  if (!isKind(value, 'record')) return [];
  const { args, keywords, state, items, entries } = value;
  const own: [string, PickleValue][] = [
    ['args', args],
    ['items', items],
    ['entries', entries],
  ];
  if (keywords) own.push(['keywords', keywords]);
  if (state !== undefined) own.push(['state', state]);
  return own;
}

/** The labels on the way to the child that is being entered. */
function pathOf(frames: readonly Frame[]): string {
  return frames.map(({ children, next }) => children[next - 1]?.[0] ?? '').join('.') || 'the root';
}

/** The array itself, or a copy half as long again when it cannot hold `length` entries. */
export function growTo<Numbers extends Int32Array | Uint32Array>(array: Numbers, length: number): Numbers {
  if (length <= array.length) return array;
  const larger = array instanceof Int32Array ? new Int32Array(nextLength(length)) : new Uint32Array(nextLength(length));
  larger.set(array);
  return larger as Numbers;
}

function nextLength(length: number): number {
  return Math.ceil(length * 1.5);
}

import { growTo } from './grow.ts';

/** Which documents belong together, 4 bytes each. The representative of a group is its first document. */
export class UnionFind {
  #parents = new Int32Array(1024);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Adds a document of its own and gives its number. */
  add(): number {
    this.#parents = growTo(this.#parents, this.#count + 1);
    this.#parents[this.#count] = this.#count;
    return this.#count++;
  }

  /** The first document of the group of `document`. */
  find(document: number): number {
    const parents = this.#parents;
    let at = document;
    for (;;) {
      const parent = parents[at] as number;
      if (parent === at) return at;
      const above = parents[parent] as number;
      parents[at] = above;
      at = above;
    }
  }

  unite(one: number, other: number): void {
    const a = this.find(one);
    const b = this.find(other);
    if (a < b) this.#parents[b] = a;
    else this.#parents[a] = b;
  }

  /** The first document of every document's group. */
  firsts(): Int32Array {
    for (let i = 0; i < this.#count; i++) this.#parents[i] = this.find(i);
    return this.#parents.subarray(0, this.#count);
  }
}

// A second derivation of Megatron's layout, row by row, that shares nothing with the copy plan: a fault in the plan's algebra
// cannot repeat itself here. q = heads / groups, W = (q + 2) · d rows a group, R = (heads + 2 · groups) · d rows in all.
//
//   Q row i: a = i div d, e = i mod d, group a div q, j = a mod q   →  global row  group · W + j · d + e
//   K row i: group i div d, e = i mod d                             →  global row  group · W + q · d + e
//   V row i: the same                                               →  global row  group · W + (q + 1) · d + e
//   global row x                                                    →  rank x div (R/T), local row x mod (R/T)

/** Where a piece of an output row lies: `columns` elements of one row of one rank's tensor, from the column on. */
export interface RowPiece {
  readonly tensorRank: number;
  readonly row: number;
  /** First column in the output row; the piece begins at the shard's column 0. */
  readonly column: number;
  readonly columns: number;
}

export interface RowFacts {
  readonly heads: number;
  readonly queryGroups: number;
  readonly headDim: number;
  readonly ffnHiddenSize: number;
  readonly paddedVocabSize: number;
  readonly tensorParallelSize: number;
}

export interface RowLocator {
  readonly megatronName: string;
  locate(row: number, columns: number): RowPiece[];
}

/** How the rows of a Hugging Face tensor are found in a checkpoint; undefined for a name that is no dense decoder's. */
export function rowLocator(hfName: string, facts: RowFacts): RowLocator | undefined {
  const ranks = facts.tensorParallelSize;
  const tableRow = byRows((row) => row, facts.paddedVocabSize / ranks);
  switch (hfName) {
    case 'model.embed_tokens.weight':
      return { megatronName: 'embedding.word_embeddings.weight', locate: tableRow };
    case 'lm_head.weight':
      return { megatronName: 'output_layer.weight', locate: tableRow };
    case 'model.norm.weight':
      return { megatronName: 'decoder.final_layernorm.weight', locate: wholeRow };
  }
  const [, layer, name] = /^model\.layers\.(\d+)\.(.+)$/.exec(hfName) ?? [];
  const found = name === undefined ? undefined : inLayer(name, facts);
  return found && { megatronName: `decoder.layers.${layer}.${found.name}`, locate: found.locate };
}

type Locate = RowLocator['locate'];

function inLayer(name: string, facts: RowFacts): { name: string; locate: Locate } | undefined {
  const { heads, queryGroups, headDim: d, ffnHiddenSize, tensorParallelSize: ranks } = facts;
  const perGroup = heads / queryGroups;
  const groupRows = (perGroup + 2) * d;
  const qkvRows = ((heads + 2 * queryGroups) * d) / ranks;
  const half = ffnHiddenSize / ranks;
  const keyOrValue = (head: number) => (row: number) => Math.floor(row / d) * groupRows + head * d + (row % d);
  const query = (row: number) => {
    const head = Math.floor(row / d);
    return Math.floor(head / perGroup) * groupRows + (head % perGroup) * d + (row % d);
  };
  switch (name) {
    case 'input_layernorm.weight':
      return { name: 'self_attention.linear_qkv.layer_norm_weight', locate: wholeRow };
    case 'post_attention_layernorm.weight':
      return { name: 'mlp.linear_fc1.layer_norm_weight', locate: wholeRow };
    case 'self_attn.q_norm.weight':
      return { name: 'self_attention.q_layernorm.weight', locate: wholeRow };
    case 'self_attn.k_norm.weight':
      return { name: 'self_attention.k_layernorm.weight', locate: wholeRow };
    case 'self_attn.o_proj.weight':
      return { name: 'self_attention.linear_proj.weight', locate: byColumns(ranks) };
    case 'mlp.down_proj.weight':
      return { name: 'mlp.linear_fc2.weight', locate: byColumns(ranks) };
    case 'mlp.gate_proj.weight':
      return { name: 'mlp.linear_fc1.weight', locate: halfRow(half, 0) };
    case 'mlp.up_proj.weight':
      return { name: 'mlp.linear_fc1.weight', locate: halfRow(half, half) };
  }
  const [, part, kind] = /^self_attn\.([qkv])_proj\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined) return undefined;
  const globalRow = part === 'q' ? query : keyOrValue(part === 'k' ? perGroup : perGroup + 1);
  return { name: `self_attention.linear_qkv.${kind}`, locate: byRows(globalRow, qkvRows) };
}

const wholeRow: Locate = (row, columns) => [{ tensorRank: 0, row, column: 0, columns }];

function byRows(globalRow: (row: number) => number, rowsPerRank: number): Locate {
  return (row, columns) => {
    const global = globalRow(row);
    return [{ tensorRank: Math.floor(global / rowsPerRank), row: global % rowsPerRank, column: 0, columns }];
  };
}

function halfRow(half: number, skip: number): Locate {
  return (row, columns) => [{ tensorRank: Math.floor(row / half), row: skip + (row % half), column: 0, columns }];
}

function byColumns(ranks: number): Locate {
  return (row, columns) =>
    Array.from({ length: ranks }, (_, tensorRank) => ({
      tensorRank,
      row,
      column: (tensorRank * columns) / ranks,
      columns: columns / ranks,
    }));
}

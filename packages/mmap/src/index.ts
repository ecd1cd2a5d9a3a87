export { type BuildResult, type BuiltPart, buildDataset } from './build.ts';
export type { BuildOptions, BuildProgress } from './build-plan.ts';
export {
  createDatasetWriter,
  type DatasetWriter,
  type DatasetWriterOptions,
  openDataset,
  readSidecar,
  resolvePrefix,
} from './node.ts';
export { type DatasetSources, type MmapDataset, openDatasetSources } from './read.ts';
export type { Sidecar } from './sidecar.ts';
export type { TokenDtype } from './token-dtype.ts';
export { type AddedToken, type BpeModel, type PreTokenizerName, parseBpeModel } from './tokenizer/bpe-model.ts';
export {
  type AddedTokenPolicy,
  type BpeEncoder,
  type CompiledBpe,
  compileBpe,
  createBpeEncoder,
} from './tokenizer/byte-level-bpe.ts';
export { createTokenDecoder, type TokenDecoder } from './tokenizer/decode.ts';
export { loadTokenizer } from './tokenizer/load-tokenizer.ts';
export type { Tokenizer } from './tokenizer/tokenizer.ts';
export type { DatasetSummary } from './write.ts';

export {
  parseHeader,
  type SafetensorsHeader,
  serializeHeader,
  type TensorDeclaration,
  type TensorInfo,
  totalBytes,
} from './header.ts';
export { openSafetensorsDirectory, openSafetensorsFile, type SafetensorsDirectory } from './node.ts';
export { openSafetensors, type SafetensorsFile } from './read.ts';
export {
  assignShards,
  buildIndex,
  INDEX_FILE,
  type OutputShard,
  parseIndex,
  type SafetensorsIndex,
  SINGLE_FILE,
  shardFileName,
} from './shards.ts';
export { type ByteSink, SafetensorsWriter } from './write.ts';

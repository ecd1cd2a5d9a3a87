export {
  type DistChunk,
  type DistItem,
  type DistMetadata,
  type DistTensor,
  parseDistMetadata,
  readDistMetadata,
} from './dist-metadata.ts';
export { serializeDistMetadata } from './dist-write.ts';
export { openTorchFile } from './open-torch-file.ts';
export { type AuditedGlobal, type AuditedPickle, auditPickle, auditTorchFile } from './pickle-audit.ts';
export {
  asMap,
  describeValue,
  getEntry,
  isKind,
  isTuple,
  namespaceFields,
  type PickleDevice,
  type PickleDtype,
  type PickleGlobal,
  type PickleMap,
  type PickleRecord,
  type PickleSet,
  type PickleStorage,
  type PickleValue,
  type TorchTensor,
} from './pickle-values.ts';
export type { TorchFile } from './torch-file.ts';
export type { GlobalKind } from './torch-globals.ts';
export { TorchFileWriter } from './torch-write.ts';
export {
  float,
  namespace,
  orderedDict,
  type TorchTensorDeclaration,
  tensorDeclaration,
  tuple,
  type WritableCall,
  type WritableDict,
  type WritableDtype,
  type WritableFloat,
  type WritableInstance,
  type WritableNamespace,
  type WritableOrderedDict,
  type WritableTuple,
  type WritableValue,
} from './writable-values.ts';
export type { ByteSink } from './zip-write.ts';

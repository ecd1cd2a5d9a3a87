export type { CastOptions } from './cast.ts';
export {
  type MegatronCheckpoint,
  type MegatronParameter,
  type OpenCheckpointOptions,
  openMegatronCheckpoint,
  type ParallelLayout,
  type PlacedShard,
} from './checkpoint.ts';
export { convertCheckpoint } from './convert.ts';
export type { ConversionResult, ConvertOptions } from './convert-options.ts';
export { type DiffOptions, type DiffReport, diffCheckpoints, type TensorDifference } from './diff.ts';
export type { Estimate } from './estimate.ts';
export type { Progress, WrittenFile } from './execute.ts';
export { FAMILIES, type FamilyName, type ModelFamily } from './families/index.ts';
export { type Inspection, inspectCheckpoint } from './inspect.ts';
export { type FileAudit, inspectSecurity, type SecurityReport } from './inspect-security.ts';
export type { ModelConfig } from './model-config.ts';
export type { Part, PartResult } from './output/parts.ts';
export type { ConversionPlan, PlannedTensor } from './plan.ts';
export type { GridOptions, RankFilesResult } from './rank-files/write-checkpoint.ts';
export type { RankGrid } from './rank-grid.ts';
export type { LayerSpec, PadFill } from './rank-plan.ts';
export { type ReshardOptions, reshardCheckpoint } from './reshard.ts';
export { convertToMegatron, type ToMegatronOptions } from './to-megatron.ts';
export { VERIFICATION_FILE, type VerificationRecord } from './verification-record.ts';
export {
  type VerifyCheck,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  verifyCheckpoint,
} from './verify.ts';
export { type VerifyAloneOptions, verifyAlone } from './verify-alone.ts';
export {
  commitCheckpoint,
  type HfTensors,
  paddedVocabSize,
  type WriteRankFilesOptions,
  writeMegatronRankFiles,
} from './write-torch.ts';

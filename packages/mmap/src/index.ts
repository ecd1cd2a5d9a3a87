export { type MergeOptions, type MergeResult, mergeDatasets } from './arrange/merge.ts';
export { type MixedSource, type MixOptions, type MixResult, mixDatasets } from './arrange/mix.ts';
export type { ArrangedDataset, ArrangeOptions } from './arrange/outputs.ts';
export { type ShuffleOptions, type ShuffleResult, shuffleDataset } from './arrange/shuffle.ts';
export { type SplitOptions, type SplitResult, splitDataset } from './arrange/split.ts';
export { type BuildEstimate, estimateBuild } from './build/estimate-build.ts';
export { type BuildResult, type BuiltPart, buildDataset } from './build.ts';
export type { BuildOptions, BuildProgress } from './build-plan.ts';
export {
  type ContaminationHit,
  type DecontaminateOptions,
  type DecontaminationReport,
  decontaminateFiles,
} from './decontaminate/decontaminate-files.ts';
export {
  type Contamination,
  createEvaluationIndex,
  type EvaluationIndex,
} from './decontaminate/evaluation-index.ts';
export { type ContaminatedText, findContamination } from './decontaminate/find-contamination.ts';
export { type DedupOptions, type DedupReport, type DuplicateExample, dedupFiles } from './dedup/dedup-files.ts';
export { type DuplicateOptions, type Duplicates, findDuplicates } from './dedup/find-duplicates.ts';
export type { RunStorage } from './dedup/key-sorter.ts';
export { type Examination, type ExamineOptions, examineDataset } from './doctor/examine.ts';
export type { Finding } from './doctor/finding.ts';
export type { Document } from './documents/document.ts';
export { type InputFile, type InputRecord, listInputs, type ReadOptions, readDocuments } from './documents/inputs.ts';
export {
  type DocumentPart,
  type Estimate,
  type EstimateOptions,
  estimateDataset,
  type SplitEstimate,
} from './estimate.ts';
export { createRandomState, type RandomState } from './mersenne-twister.ts';
export {
  createDatasetWriter,
  type DatasetWriter,
  type DatasetWriterOptions,
  openDataset,
  readSidecar,
  resolvePrefix,
} from './node.ts';
export { type JudgeOptions, judgeFiles, type QualityReport, type RuleReport } from './quality/judge-files.ts';
export { judgeQuality } from './quality/judge-quality.ts';
export { QUALITY_RULES, type QualityRule, type RuleFailure, selectRules } from './quality/rules.ts';
export type { TextStatistics } from './quality/text-statistics.ts';
export { type DatasetSources, type MmapDataset, openDatasetSources } from './read.ts';
export { type RepairOptions, type RepairResult, repairDataset } from './repair/repair.ts';
export {
  planSamples,
  type ReplayOptions,
  replaySamples,
  type SamplePart,
  type SamplePlan,
  type SampleReplay,
  type SampleRequest,
  sampleParts,
} from './sample-index.ts';
export type { CorpusOptions, CorpusProgress } from './screen/corpus.ts';
export type { ScreenFiles } from './screen/node.ts';
export type { Sidecar, SidecarOrigin } from './sidecar.ts';
export { type SplitBorders, type SplitName, splitBorders } from './split-shares.ts';
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

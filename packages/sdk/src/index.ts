export { CptClient, type CptClientOptions } from './client.ts';
export { type FinishedConversion, readConversion } from './conversion.ts';
export { checkFolder, type Dataset, type DatasetCheck, type DatasetInput, type Datasets } from './datasets.ts';
export { DATASET_NAME, type FolderView } from './folder.ts';
export { type GatheredFacts, gatherFacts } from './gather-facts.ts';
export {
  DLC_JOB_STATUS,
  type DlcJobStatus,
  isTerminalPhase,
  type JobPhase,
  jobPhaseOf,
  TRAINING_JOB_STATUS,
} from './job-status.ts';
export type { Jobs, ListJobsOptions, LogsOptions, WaitForJobOptions } from './jobs.ts';
export { megatronArguments, megatronCommand } from './megatron-command.ts';
export { MODEL_NAMES, MODELS, type ModelName, type ModelShape, parameterCount } from './models.ts';
export { createDetector, observe } from './monitor/detector.ts';
export type {
  DetectorConfig,
  DetectorEvent,
  DetectorState,
  LearningRateSchedule,
  Signal,
} from './monitor/detector-state.ts';
export type { JobFailure, Symptom } from './monitor/failure/attribute.ts';
export type { CauseId } from './monitor/failure/causes.ts';
export type { ExplainOptions } from './monitor/failure/explain-job.ts';
export type { FollowOptions, JobEvent, Tick, WarningCode } from './monitor/follow-job.ts';
export {
  advance,
  createMonitor,
  type Evidence,
  type Incident,
  type IncidentEvent,
  type MonitorState,
} from './monitor/incidents.ts';
export {
  METRIC_TYPES,
  type MetricsEvent,
  type MetricsOptions,
  type MetricType,
  type PodMetric,
  type PodUse,
  type ReportedMetric,
  type ReportedMetricsOptions,
} from './monitor/job-metrics.ts';
export type { LogCursor, LogPage } from './monitor/pod-log.ts';
export type { Checkpoint, Proposal } from './monitor/proposal.ts';
export { type IncidentKind, RULES, type RuleId } from './monitor/rules.ts';
export {
  type CheckpointLoadedLine,
  type CheckpointSavedLine,
  type IterationLine,
  parseTrainingLine,
  type TrainingLine,
  type ValidationLine,
} from './monitor/training-log.ts';
export {
  detectorConfigOf,
  type FailureEvent,
  type StopEvent,
  type WatchEvent,
  type WatchOptions,
} from './monitor/watch-job.ts';
export type { AccessKeyCredential, AcsTransport, PaiTransportOptions } from './pai-transport.ts';
export type { PaiProduct } from './pai-wire.ts';
export { parallelOf } from './parallel-layout.ts';
export type { InputProblem } from './parse-input.ts';
export { planRun } from './plan/plan.ts';
export { type PlanFacts, PlanFactsSchema, parsePlanFacts } from './plan/plan-facts.ts';
export type { Clock } from './poll.ts';
export type { GateReport, PromptResult } from './prompt-gate.ts';
export { type GoldenPrompt, GoldenPromptSchema, parseGoldenPrompts } from './prompt-gate-prompts.ts';
export type { Quota, Quotas, ResourceAmount } from './quotas.ts';
export type { Lineage, ModelInput, Models, ModelVersion, RegisteredModel } from './registered-models.ts';
export {
  type CompleteCheckpoint,
  type FolderTree,
  type FoundCheckpoints,
  findCheckpoints,
  type IncompleteCheckpoint,
} from './restart/checkpoints.ts';
export type { PartFate, RunPart } from './restart/parts.ts';
export { type RestartTruth, restartTruth } from './restart/restart-truth.ts';
export type { RestartFacts, ResumeFromOptions } from './restart/resume-job.ts';
export { planResume, type ResumeChoices, type ResumePlan } from './restart/resume-run.ts';
export type { SchedulePlace } from './restart/schedule-place.ts';
export { toCreateJob } from './routes/dlc.ts';
export {
  type CptRunSpec,
  type CptRunSpecInput,
  CptRunSpecSchema,
  type HyperParameters,
  HyperParametersSchema,
  type Parallel,
  parseRunSpec,
} from './run-spec.ts';
export {
  type Finding,
  FindingSchema,
  type Job,
  type JobList,
  JobListSchema,
  JobSchema,
  type Layout,
  LayoutSchema,
  type Plan,
  PlanSchema,
  type Pod,
  PodSchema,
  type Problem,
  ProblemSchema,
  type Service,
  type ServiceList,
  ServiceListSchema,
  ServiceSchema,
  ServiceSpecSchema,
  type StageMemory,
  StageMemorySchema,
  type StatusChange,
  StatusChangeSchema,
} from './schemas.ts';
export type { RollOutEvent, RollOutOptions, RollOutReport, StepReport } from './service-canary.ts';
export { requireVerified, type WeightBinding } from './service-checkpoint.ts';
export type { Completion, CompletionRequest } from './service-completion.ts';
export type { DeployOptions } from './service-deploy.ts';
export type { ServiceEndpoint, TokenScheme, TokenSchemes } from './service-gateway.ts';
export type { ServiceEvent, ServiceInstance, ServiceLogOptions, TimeRange } from './service-lists.ts';
export type { AutoScaler, AutoScalerView, CronScaler, CronScalerView } from './service-scaler.ts';
export { parseServiceSpec, type ServiceSpec, type ServiceSpecInput, toServiceJson } from './service-spec.ts';
export { EAS_SERVICE_STATUS, type EasServiceStatus, type ServicePhase, servicePhaseOf } from './service-status.ts';
export type { GateOptions, Services, WaitForServiceOptions } from './services.ts';
export type { IntentRecord, JournalClaim, JournalRecord, OpenIntent, SubmitJournal } from './submit/journal.ts';
export { memoryJournal } from './submit/memory-journal.ts';
export type { RecoveredSubmission, RecoverOptions } from './submit/recover.ts';
export type { SubmitTiming } from './submit/submission.ts';
export type { SubmitOptions, SubmitPatience, SubmittedJob } from './submit.ts';
export { type ToolSubmitOptions, toolCommand, toToolJob } from './tool-jobs.ts';
export { parseToolSpec, type ToolSpec } from './tool-spec.ts';
export type { Activation, Workspace, Workspaces } from './workspaces.ts';

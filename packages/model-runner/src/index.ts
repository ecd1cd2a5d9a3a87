export {
  compareForwards,
  type ForwardComparison,
  type ForwardOptions,
  type ForwardResult,
  type LayerObserver,
  runHfForward,
  runMegatronForward,
} from './forward.ts';
export {
  type GeneratedToken,
  type GenerateOptions,
  type Generator,
  type GeneratorOptions,
  openGenerator,
} from './generate.ts';
export type { MegatronRanks } from './megatron-forward.ts';
export { type ModelShape, modelShapeFromHfConfig } from './model-shape.ts';
export type { RopeScaling } from './rotary.ts';
export { type LearningRateSchedule, learningRate } from './schedule.ts';
export { createTrainer, type Trainer, type TrainerOptions } from './train.ts';
export { parameterWeights, type RowRange, safetensorsWeights, type WeightSource } from './weights.ts';

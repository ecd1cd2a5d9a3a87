export type { PlainRequest } from './api-endpoint.ts';
export { type Clock, createVirtualClock, systemClock, type VirtualClock } from './clock.ts';
export { type FaultCount, type FaultPlan, type FaultRule, type Faults, seededRandom } from './faults.ts';
export type { WireAnswer } from './faulty-answer.ts';
export { parseScenario, type Scenario } from './scenario.ts';
export {
  type BuiltPaiLocal,
  buildPaiLocal,
  type PaiLocal,
  type PaiLocalOptions,
  startPaiLocal,
} from './server.ts';
export { type AccessKey, signatureVerifier, type WireRequest } from './signature.ts';

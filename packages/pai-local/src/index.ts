export { type Clock, systemClock } from './clock.ts';
export {
  type BuiltPaiLocal,
  buildPaiLocal,
  type PaiLocal,
  type PaiLocalOptions,
  startPaiLocal,
} from './server.ts';
export { type AccessKey, signatureVerifier, type WireRequest } from './signature.ts';

import type { CptClient } from '@pai-cpt/sdk';

/** The part of the SDK's client that the routes use, so that a test can pass an object with just that. */
export interface ApiClient {
  readonly jobs: Pick<CptClient['jobs'], 'submit' | 'get' | 'list' | 'stop' | 'delete'>;
  readonly services: Pick<CptClient['services'], 'get' | 'list'>;
  readonly plan: CptClient['plan'];
}

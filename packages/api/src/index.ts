export type { ApiClient } from './client.ts';
export { type Config, DEFAULT_PORT, readConfig } from './config.ts';
export { type EmbeddedOptions, type EmbeddedPostgres, startEmbeddedPostgres } from './db/embedded.ts';
export { openRepositories, type Repositories } from './db/repositories.ts';
export { buildServer, type ServerOptions } from './server.ts';

import { register } from 'node:module';

// `node --conditions=development --import` this file: worker threads and child processes of tests run the sources, never a stale `dist`.
register('./typescript-hooks.mjs', import.meta.url);

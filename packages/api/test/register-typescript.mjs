import { register } from 'node:module';

// For `node --import …/register-typescript.mjs?cache=FOLDER`: lets a test start the program from its sources, so that it
// never runs a stale `dist`. What was compiled once is read from the folder by the next start.
const cacheDirectory = new URL(import.meta.url).searchParams.get('cache');
register('./typescript-hooks.mjs', import.meta.url, { data: { cacheDirectory } });

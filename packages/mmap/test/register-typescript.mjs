/* Lets Node run the sources as they are, for worker threads and child processes of tests: `node --import` this file. */
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);

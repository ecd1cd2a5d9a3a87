import { defineConfig } from 'drizzle-kit';

/** `npx drizzle-kit generate --name <what>` writes the next file of `migrations/` from `src/db/schema.ts`. */
export default defineConfig({ dialect: 'postgresql', schema: './src/db/schema.ts', out: './migrations' });

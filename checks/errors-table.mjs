/** Writes docs/errors.md from the built registry: `node checks/errors-table.mjs`. The test in errors.test.ts holds the two equal. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERRORS } from '../packages/core/dist/index.js';

const rows = Object.entries(ERRORS).map(
  ([code, { httpStatus, retryable, meaning }]) =>
    `| \`${code}\` | ${httpStatus} | ${retryable ? 'yes' : 'no'} | ${meaning} |`,
);
const text = `# Errors

Every error that this project throws on purpose has one of these codes. They are part of the public interface and are not renamed. The
message names the file, the field, the numbers compared and what to do; the REST service answers with the status, as
\`application/problem+json\`. "Retry" says whether the same call may succeed later unchanged.

| code | status | retry | meaning |
|---|---|---|---|
${rows.join('\n')}
`;
writeFileSync(join(import.meta.dirname, '../docs/errors.md'), text);

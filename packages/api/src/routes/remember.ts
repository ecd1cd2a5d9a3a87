import type { FastifyBaseLogger } from 'fastify';

/**
 * Waits for a record of what PAI has done or said. Where it cannot be kept, the log says so and the answer stays what it
 * is: a job that was created and costs money must not look like one that was not.
 */
export async function remember(log: FastifyBaseLogger, recorded: Promise<void>): Promise<void> {
  await recorded.catch((error) => log.error({ err: error }, 'the database did not keep what PAI said'));
}

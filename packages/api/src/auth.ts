import { createHash, timingSafeEqual } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isLoopback } from './config.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered without a token. */
    isPublic?: boolean;
  }
}

/** A hook that lets through only requests that carry `token`, compared in constant time. */
export function requireToken(token: string) {
  const expected = digest(`Bearer ${token}`);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (request.routeOptions.config.isPublic) return;
    const given = request.headers.authorization ?? '';
    // The scheme is not case-sensitive; digests are of one length, so that not even the length of the token shows.
    if (timingSafeEqual(digest(given.replace(/^bearer +/i, 'Bearer ')), expected)) return;
    reply.header('www-authenticate', 'Bearer realm="cpt-api"');
    const detail =
      given === '' ? 'send "Authorization: Bearer <CPT_API_TOKEN>"' : 'the token is not the one of this service';
    throw new InvalidInputError('CPT_INPUT_UNAUTHORIZED', detail);
  };
}

/**
 * A hook for a service without a token. A page in a browser on the same machine reaches loopback too: by a form, which
 * names its origin, or by a host name that was made to resolve to 127.0.0.1. Both are refused.
 */
export async function requireLoopback(request: FastifyRequest): Promise<void> {
  const { host = '', origin } = request.headers;
  const name = host.replace(/:\d+$/, '');
  if (!isLoopback(name)) {
    throw new InvalidInputError(
      'CPT_INPUT_ORIGIN',
      `"${name}" is not a loopback address; set CPT_API_TOKEN to allow it`,
    );
  }
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new InvalidInputError('CPT_INPUT_ORIGIN', `pages of ${origin} may not use this service`);
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

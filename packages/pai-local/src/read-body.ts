import type { IncomingMessage } from 'node:http';
import { invalidParameter } from './api-error.ts';

const MAX_BODY_BYTES = 1024 * 1024;

/**
 * The body of a request, up to 1 MiB. By events, not by iteration: leaving a `for await` early would destroy the socket that
 * the refusal goes out on.
 * @throws ApiError `InvalidParameter`
 */
export function readBody(incoming: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
      else {
        incoming.pause();
        reject(invalidParameter(`The body has more than ${MAX_BODY_BYTES} bytes.`));
      }
    });
    incoming.on('end', () => resolve(Buffer.concat(chunks)));
    incoming.on('error', () => reject(invalidParameter('The body ended early.')));
  });
}

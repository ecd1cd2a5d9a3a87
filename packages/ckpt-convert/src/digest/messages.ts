/** To the digest thread: bytes of the shared memory that a file goes on with, or without them that it has ended. */
export interface DigestRequest {
  readonly file: string;
  readonly from?: number;
  readonly length?: number;
}

/** From it: a tile is free again, or with `sha256` what was asked for at the end of a file. */
export interface DigestReply {
  readonly sha256?: string;
}

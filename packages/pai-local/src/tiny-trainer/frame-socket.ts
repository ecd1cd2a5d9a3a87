import type { Socket } from 'node:net';
import { CptError, WaitTimeoutError } from '@pai-cpt/core';

/**
 * Frames over one TCP connection, all numbers little-endian:
 *
 *   offset  0  u32  'CPTA'
 *           4  u32  kind
 *           8  u32  number of the operation, counted by both sides
 *          12  u32  bytes of payload
 *          16  …    payload
 */
const MAGIC = 0x41545043;
const HEADER_BYTES = 16;
/** Far above the gradients of a model that this trainer can hold; a wrong length must not allocate gigabytes. */
const MAX_PAYLOAD_BYTES = 2 ** 30;

/** Kinds of frame. */
export const KIND = { hello: 1, ready: 2, sumFloat32: 3, sumFloat64: 4, barrier: 5, fail: 6 } as const;

/** A kind as an error message names it. */
export function describeKind(kind: number): string {
  return Object.entries(KIND).find(([, value]) => value === kind)?.[0] ?? `kind ${kind}`;
}

/** Text as a payload. */
export function textPayload(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** What one frame carries. */
export interface Frame {
  readonly kind: number;
  readonly operation: number;
  /** Its own buffer, aligned for any element type. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** One end of a connection. Nothing waits longer than `timeoutMs`; after the first failure every call fails with it. */
export class FrameSocket {
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  /** How error messages name the other end. */
  peer: string;
  readonly #frames: Frame[] = [];
  #failure: Error | undefined;
  #waiter: { resolve(frame: Frame): void; reject(error: Error): void } | undefined;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerFilled = 0;
  #payload: Uint8Array<ArrayBuffer> | undefined;
  #payloadFilled = 0;

  constructor(socket: Socket, peer: string, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.peer = peer;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(lost(`the connection to ${this.peer} failed: ${error.message}`, error)));
    socket.on('close', () => this.#fail(lost(`${this.peer} closed its connection`)));
  }

  /**
   * Resolves when the bytes are with the kernel; only then may the caller change the payload.
   * @throws CptError `CPT_TRAIN_PEER_LOST`. @throws WaitTimeoutError `CPT_WAIT_TIMEOUT` when the other end does not read.
   */
  send(kind: number, operation: number, payload: Uint8Array): Promise<void> {
    const header = new Uint8Array(HEADER_BYTES);
    const view = new DataView(header.buffer);
    for (const [i, value] of [MAGIC, kind, operation, payload.byteLength].entries()) view.setUint32(i * 4, value, true);
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const timer = this.#startTimer(`to take ${payload.byteLength} bytes`, reject);
      this.#socket.write(header);
      this.#socket.write(payload, (error) => {
        clearTimeout(timer);
        if (error) reject(this.#failure ?? lost(`writing to ${this.peer} failed: ${error.message}`, error));
        else resolve();
      });
    });
  }

  /**
   * The next frame. Frames that came before a failure are given out before it.
   * @throws CptError `CPT_TRAIN_PEER_LOST` when the connection ends first.
   * @throws WaitTimeoutError `CPT_WAIT_TIMEOUT` when nothing comes in time; `waitingFor` says what was awaited.
   */
  receive(waitingFor: string): Promise<Frame> {
    const ready = this.#frames.shift();
    if (ready) return Promise.resolve(ready);
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const timer = this.#startTimer(`to send ${waitingFor}`, reject);
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          this.#waiter = undefined;
          then(value);
        };
      this.#waiter = { resolve: settle(resolve), reject: settle(reject) };
    });
  }

  /** Ends the connection once everything sent is on its way. An end that hangs does not keep this process alive. */
  end(): void {
    this.#failure ??= lost(`the connection to ${this.peer} is closed`);
    this.#socket.end();
    this.#socket.unref();
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  #take(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.byteLength; ) {
      if (this.#failure) return;
      if (!this.#payload) {
        const count = Math.min(HEADER_BYTES - this.#headerFilled, chunk.byteLength - at);
        this.#header.set(chunk.subarray(at, at + count), this.#headerFilled);
        this.#headerFilled += count;
        at += count;
        if (this.#headerFilled === HEADER_BYTES) this.#startPayload();
      } else {
        const count = Math.min(this.#payload.byteLength - this.#payloadFilled, chunk.byteLength - at);
        this.#payload.set(chunk.subarray(at, at + count), this.#payloadFilled);
        this.#payloadFilled += count;
        at += count;
      }
      if (this.#payload && this.#payloadFilled === this.#payload.byteLength) this.#finishFrame(this.#payload);
    }
  }

  #startPayload(): void {
    const view = new DataView(this.#header.buffer);
    const length = view.getUint32(12, true);
    if (view.getUint32(0, true) !== MAGIC || length > MAX_PAYLOAD_BYTES) {
      this.#fail(lost(`${this.peer} sent bytes that are not a frame; something else uses MASTER_PORT`));
      this.destroy();
      return;
    }
    this.#payload = new Uint8Array(length);
    this.#payloadFilled = 0;
  }

  #finishFrame(payload: Uint8Array<ArrayBuffer>): void {
    const view = new DataView(this.#header.buffer);
    const frame = { kind: view.getUint32(4, true), operation: view.getUint32(8, true), payload };
    this.#payload = undefined;
    this.#headerFilled = 0;
    if (this.#waiter) this.#waiter.resolve(frame);
    else this.#frames.push(frame);
  }

  #startTimer(what: string, reject: (error: Error) => void): NodeJS.Timeout {
    return setTimeout(() => {
      const message = `waited ${this.#timeoutMs / 1000} s for ${this.peer} ${what}`;
      this.#fail(new WaitTimeoutError('CPT_WAIT_TIMEOUT', message));
      if (this.#failure) reject(this.#failure);
    }, this.#timeoutMs);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiter?.reject(this.#failure);
  }
}

/** The error of a replica that is gone, or that is not one of ours. */
export function lost(message: string, cause?: unknown): CptError {
  return new CptError('CPT_TRAIN_PEER_LOST', message, {}, { cause });
}

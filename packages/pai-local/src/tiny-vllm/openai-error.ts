/** A refusal in OpenAI's shape. */
export class OpenAiError extends Error {
  readonly status: number;
  readonly type: string;
  /** The field of the request that is wrong. */
  readonly param: string | null;

  constructor(status: number, type: string, message: string, param: string | null = null) {
    super(message);
    this.name = 'OpenAiError';
    this.status = status;
    this.type = type;
    this.param = param;
  }
}

/** A field of the request is wrong. */
export function badRequest(message: string, param: string): OpenAiError {
  return new OpenAiError(400, 'BadRequestError', message, param);
}

/** A model or a path does not exist. */
export function notFound(message: string, param: string | null = null): OpenAiError {
  return new OpenAiError(404, 'NotFoundError', message, param);
}

/** The body that clients of OpenAI's API read. */
export function errorBody({ message, type, param, status }: OpenAiError) {
  return { error: { message, type, param, code: status } };
}

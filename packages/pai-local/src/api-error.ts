/** A refusal as PAI words it: an HTTP status, a `Code` for programs and a `Message` for people. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
  }
}

export const missingParameter = (name: string): ApiError =>
  new ApiError(400, 'MissingParameter', `The parameter ${name} is required and was not given.`);

export const invalidParameter = (message: string): ApiError => new ApiError(400, 'InvalidParameter', message);

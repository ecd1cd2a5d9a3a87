/** A refusal as PAI words it: an HTTP status, a `Code` for programs and a `Message` for people. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  /** Further members of the body. */
  readonly more: Readonly<Record<string, unknown>>;

  constructor(status: number, code: string, message: string, more: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.more = more;
  }
}

export const missingParameter = (name: string): ApiError =>
  new ApiError(400, 'MissingParameter', `The parameter ${name} is required and was not given.`);

export const invalidParameter = (message: string): ApiError => new ApiError(400, 'InvalidParameter', message);

/** What PAI says to a key that RAM does not let call `action`. */
export function accessDenied(accessKeyId: string, action: string): ApiError {
  return new ApiError(403, 'NoPermission', `${accessKeyId} is not authorized to perform ${action}.`, {
    AccessDeniedDetail: {
      ...{ AuthAction: action, AuthPrincipalDisplayName: accessKeyId, AuthPrincipalType: 'SubUser' },
      ...{ NoPermissionType: 'ExplicitDeny', PolicyType: 'AccountLevelIdentityBasedPolicy' },
    },
  });
}

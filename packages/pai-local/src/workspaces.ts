import { ApiError } from './api-error.ts';

/** The one workspace that is here. */
export const LOCAL_WORKSPACE = {
  WorkspaceId: '10001',
  WorkspaceName: 'pai_local',
  DisplayName: 'pai-local',
  Description: 'The workspace of this pai-local.',
  EnvTypes: ['prod'],
  Status: 'ENABLED',
  IsDefault: true,
  Creator: '1000000000000001',
  GmtCreateTime: '2024-01-01T00:00:00.000Z',
  GmtModifiedTime: '2024-01-01T00:00:00.000Z',
} as const;

/** The id given, or the default workspace's. @throws ApiError 404 for a workspace that is not here. */
export function checkWorkspace(workspaceId: string | undefined): string {
  if (!workspaceId || workspaceId === LOCAL_WORKSPACE.WorkspaceId) return LOCAL_WORKSPACE.WorkspaceId;
  throw new ApiError(
    404,
    'WorkspaceNotFound',
    `Workspace ${workspaceId} does not exist; this pai-local has ${LOCAL_WORKSPACE.WorkspaceId} alone.`,
  );
}

import { CptError } from '@pai-cpt/core';
import { listPages } from './list-pages.ts';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import type { WireWorkspace } from './workspace-wire.ts';

interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** A workspace of PAI. */
export interface Workspace {
  readonly workspaceId: string;
  readonly name: string;
  readonly isDefault: boolean;
  /** ENABLED when it can be used. */
  readonly status?: string;
}

/** Whether the account can work with PAI in this region. */
export interface Activation {
  readonly isActivated: boolean;
  /** How that is known, or what is missing. */
  readonly reason: string;
}

/** The workspaces of the account in a region. */
export class Workspaces {
  readonly #pai: PaiTransport;

  constructor(pai: PaiTransport) {
    this.#pai = pai;
  }

  /** Workspaces, page by page as it is read on; `name` is a part of the name. */
  async *list({ name, signal }: CallOptions & { name?: string } = {}): AsyncGenerator<Workspace, void, undefined> {
    // Without this option PAI tells what a workspace could use, and no workspaces.
    const filter = { ...omitUndefined({ WorkspaceName: name }), Option: 'GetWorkspaces' as const };
    const pages = listPages(
      async (page) => {
        const { Workspaces, TotalCount } = await this.#pai.call(
          'ListWorkspaces',
          { query: { ...filter, ...page } },
          { signal },
        );
        return { items: Workspaces, total: TotalCount };
      },
      ({ WorkspaceId }) => WorkspaceId,
    );
    for await (const workspace of pages) yield toWorkspace(workspace);
  }

  async get(workspaceId: string, { signal }: CallOptions = {}): Promise<Workspace> {
    return toWorkspace(await this.#pai.call('GetWorkspace', { path: { WorkspaceId: workspaceId } }, { signal }));
  }

  /**
   * Whether PAI is activated, which shows in a workspace that can be used: activating PAI makes the first.
   * @throws PaiError for everything but a refusal of this account.
   */
  async activation(options: CallOptions = {}): Promise<Activation> {
    const found: Workspace[] = [];
    try {
      for await (const workspace of this.list(options)) found.push(workspace);
    } catch (error) {
      if (!CptError.isInstance(error) || error.code !== 'CPT_PAI_FORBIDDEN') throw error;
      return { isActivated: false, reason: `this account may not list workspaces: ${error.message}` };
    }
    const usable = found.filter(({ status }) => status === undefined || status === 'ENABLED');
    const [first] = usable;
    if (first) return { isActivated: true, reason: `workspace ${first.workspaceId} (${first.name}) is enabled` };
    const what = found.length === 0 ? 'has no workspace' : `has ${found.length} workspaces and none that is enabled`;
    return { isActivated: false, reason: `this account ${what} in ${this.#pai.regionId}: activate PAI in the console` };
  }
}

function toWorkspace(wire: WireWorkspace): Workspace {
  return omitUndefined({
    workspaceId: wire.WorkspaceId,
    name: wire.WorkspaceName,
    isDefault: wire.IsDefault === true,
    status: wire.Status,
  });
}

import { InvalidInputError } from '@pai-cpt/core';
import { CptClient, type TokenScheme } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { environment } from './node.ts';

/** Where PAI is; every command that talks to it has these options. */
export interface ConnectOptions {
  region?: string;
  endpoint?: string;
  workspace?: string;
  /** Of commands that call a service itself. */
  tokenScheme?: string;
}

/** Adds the connection options to a command. */
export function withConnection(command: Command): Command {
  return command
    .option('--region <id>', 'region, for example cn-hangzhou (PAI_REGION)')
    .option('--endpoint <url>', 'another endpoint for all products, for example a pai-local (PAI_ENDPOINT)')
    .option('--workspace <id>', 'PAI workspace (PAI_WORKSPACE_ID)');
}

/** The endpoint or region that the options mean, as a journal of submissions names it. */
export function targetOf(options: ConnectOptions): string {
  const endpoint = options.endpoint ?? environment('PAI_ENDPOINT');
  return endpoint ?? options.region ?? environment('PAI_REGION') ?? 'cn-hangzhou';
}

/** A client for the options, the environment, and the default credential chain, in this order. */
export function connect(options: ConnectOptions): CptClient {
  const endpoint = options.endpoint ?? environment('PAI_ENDPOINT');
  const tokenScheme = readTokenScheme(options.tokenScheme ?? environment('PAI_TOKEN_SCHEME'));
  const workspaceId = options.workspace ?? environment('PAI_WORKSPACE_ID');
  return new CptClient({
    regionId: options.region ?? environment('PAI_REGION') ?? 'cn-hangzhou',
    ...(endpoint ? { endpoint } : {}),
    ...(workspaceId ? { workspaceId } : {}),
    ...(tokenScheme ? { tokenScheme } : {}),
  });
}

function readTokenScheme(text: string | undefined): TokenScheme | undefined {
  if (text === undefined || text === 'bare' || text === 'bearer') return text;
  throw new InvalidInputError('CPT_INPUT_INVALID', `--token-scheme is "${text}"; it can be bare or bearer`);
}

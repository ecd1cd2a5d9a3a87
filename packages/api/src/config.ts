import { isIP } from 'node:net';
import { InvalidInputError } from '@pai-cpt/core';

/** Everything that the environment decides. */
export interface Config {
  readonly host: string;
  /** Undefined: the default port, or any other when that is taken. */
  readonly port: number | undefined;
  readonly mayUseOtherPort: boolean;
  /** Undefined: an embedded PostgreSQL below `dataDirectory`. */
  readonly databaseUrl: string | undefined;
  readonly dataDirectory: string;
  /** Callers must present it; undefined only on a loopback host. */
  readonly token: string | undefined;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly pai: {
    readonly regionId: string;
    readonly endpoint?: string;
    readonly workspaceId?: string;
    readonly credential?: { accessKeyId: string; accessKeySecret: string; securityToken?: string };
  };
}

export const DEFAULT_PORT = 8787;
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/**
 * The configuration that `environment` describes. A variable that is set to nothing counts as not set.
 * @throws InvalidInputError `CPT_CONFIG_INVALID`, one line that names the variable.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const read = (name: string) => environment[name]?.trim() || undefined;
  const host = readHost(read('HOST') ?? '127.0.0.1');
  const token = readToken(read('CPT_API_TOKEN'));
  if (token === undefined && !isLoopback(host)) {
    throw invalid('HOST', `${host} is reachable from other machines; set CPT_API_TOKEN, or leave HOST at 127.0.0.1`);
  }
  const port = readPort(read('PORT'));
  return {
    host,
    port,
    mayUseOtherPort: port === undefined || readFlag('PORT_FALLBACK', read('PORT_FALLBACK')),
    databaseUrl: readUrl('DATABASE_URL', read('DATABASE_URL'), ['postgres:', 'postgresql:']),
    dataDirectory: read('DATA_DIR') ?? '.cpt/api',
    token,
    logLevel: readLogLevel(read('LOG_LEVEL') ?? 'info'),
    pai: readPai(read),
  };
}

function readPai(read: (name: string) => string | undefined): Config['pai'] {
  const regionId = read('PAI_REGION');
  if (regionId === undefined)
    throw invalid('PAI_REGION', 'is not set; give the region of the jobs, such as cn-hangzhou');
  if (!/^[a-z][a-z0-9-]*$/.test(regionId)) throw invalid('PAI_REGION', `"${regionId}" is not a region id`);
  const endpoint = readUrl('PAI_ENDPOINT', read('PAI_ENDPOINT'), ['http:', 'https:']);
  const workspaceId = read('PAI_WORKSPACE_ID');
  const credential = readCredential(read);
  return {
    regionId,
    ...(endpoint !== undefined && { endpoint }),
    ...(workspaceId !== undefined && { workspaceId }),
    ...(credential !== undefined && { credential }),
  };
}

/** Without both keys the SDK looks for credentials itself (profile, instance role). */
function readCredential(read: (name: string) => string | undefined): Config['pai']['credential'] {
  const accessKeyId = read('ALIBABA_CLOUD_ACCESS_KEY_ID');
  const accessKeySecret = read('ALIBABA_CLOUD_ACCESS_KEY_SECRET');
  const securityToken = read('ALIBABA_CLOUD_SECURITY_TOKEN');
  if (accessKeyId === undefined && accessKeySecret === undefined) return undefined;
  if (accessKeyId === undefined) throw invalid('ALIBABA_CLOUD_ACCESS_KEY_ID', 'is not set, its secret is; set both');
  if (accessKeySecret === undefined)
    throw invalid('ALIBABA_CLOUD_ACCESS_KEY_SECRET', 'is not set, the id is; set both');
  return { accessKeyId, accessKeySecret, ...(securityToken !== undefined && { securityToken }) };
}

/** True for addresses that only this machine reaches. Other names are not looked up: what they mean may change. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}

function readHost(host: string): string {
  if (isIP(host) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host)) return host;
  throw invalid('HOST', `"${host}" is neither an address nor a host name`);
}

function readPort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw invalid('PORT', `"${text}" is not a port; give 0 to 65535, 0 for any free one`);
}

function readToken(token: string | undefined): string | undefined {
  if (token === undefined || /^[\x21-\x7e]+$/.test(token)) return token;
  throw invalid('CPT_API_TOKEN', 'holds characters that an Authorization header cannot carry; use letters and digits');
}

function readFlag(name: string, text: string | undefined): boolean {
  if (text === undefined || text === '0') return false;
  if (text === '1') return true;
  throw invalid(name, `"${text}" is neither 0 nor 1`);
}

/** The message leaves the value out: a URL may hold a password. */
function readUrl(name: string, text: string | undefined, protocols: readonly string[]): string | undefined {
  if (text === undefined) return undefined;
  const protocol = URL.canParse(text) ? new URL(text).protocol : '';
  if (protocols.includes(protocol)) return text;
  throw invalid(name, `is not a URL that starts with ${protocols.map((each) => `${each}//`).join(' or ')}`);
}

function readLogLevel(level: string): Config['logLevel'] {
  const known = LOG_LEVELS.find((each) => each === level);
  if (known) return known;
  throw invalid('LOG_LEVEL', `"${level}" is unknown; give one of ${LOG_LEVELS.join(', ')}`);
}

function invalid(name: string, problem: string): InvalidInputError {
  return new InvalidInputError('CPT_CONFIG_INVALID', `${name}: ${problem}`, { field: name });
}

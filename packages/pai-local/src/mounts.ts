import { posix } from 'node:path';
import { invalidParameter } from './api-error.ts';
import { isRecord } from './parameters.ts';
import type { DatasetUris } from './registry.ts';

/** A folder of the host that a process is to see under `mountPath`. */
export interface Mount {
  /** Absolute, without a slash at the end. */
  readonly mountPath: string;
  /** Relative to the NAS directory: `<file system id>/<path>`. */
  readonly nasPath: string;
  /** A folder that the platform itself made, instead of one on the NAS. */
  readonly hostPath?: string;
}

/** A mount whose folder on the host is known. */
export interface PlacedMount extends Mount {
  readonly hostPath: string;
}

/** Before a path, these make it the rest of a longer one: `x/mnt`, `./mnt`, `${ROOT}/mnt`, `$(pwd)/mnt`, `file:///mnt`. */
const NOT_BEFORE = String.raw`(?<![\p{L}\p{N}_./~})\]*?]|(?<!:)-)`; // a default, ${X:-/mnt}, is a path by itself
/** After a path, these make its last name a longer one; some do so through the shell. */
const NOT_AFTER = String.raw`(?![\p{L}\p{N}_.\-+@%~$\{*?\[\\])`;

/**
 * `text` with every mount path replaced by its folder on the host, wherever it is a path or the beginning of one:
 * `/mnt/data`, `/mnt/data/x`, `--in=/mnt/data/x`, `"/mnt/data":…`; not `/mnt/database`, `/srv/mnt/data`, `$ROOT/mnt/data`.
 * Where mounts are nested the longest path wins, and what was put in is not looked at again.
 */
export function rewriteMounts(text: string, mounts: readonly PlacedMount[]): string {
  if (mounts.length === 0) return text;
  const hostPaths = new Map(mounts.map((mount) => [mount.mountPath, mount.hostPath]));
  const longestFirst = [...hostPaths.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(`${NOT_BEFORE}(?:${longestFirst.map(escapePattern).join('|')})${NOT_AFTER}`, 'gu');
  return text.replace(pattern, (mountPath) => hostPaths.get(mountPath) as string);
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

/** The mounts of a job's `DataSources`. @throws ApiError `InvalidParameter` */
export function parseDataSources(value: unknown, uriOfDataset: DatasetUris = () => undefined): Mount[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidParameter('DataSources is not a list.');
  return checkDistinct(
    value.map((source: unknown, index) => {
      const where = `DataSources[${index}]`;
      if (!isRecord(source)) throw invalidParameter(`${where} is not an object.`);
      const uri = source.Uri ?? datasetUri(where, source.DataSourceId, uriOfDataset);
      return toMount(where, source.MountPath, uri, ['nas']);
    }),
  );
}

/** Where a data set lies. @throws ApiError `InvalidParameter` when there is no such data set. */
export function datasetUri(where: string, datasetId: unknown, uriOfDataset: DatasetUris): string {
  const uri = typeof datasetId === 'string' ? uriOfDataset(datasetId) : undefined;
  if (uri !== undefined) return uri;
  const what =
    datasetId === undefined ? 'no Uri and no data set' : `the data set ${String(datasetId)}, which is not here`;
  throw invalidParameter(`${where} has ${what}; give nas://<id>.<region>/<path>, or the id that CreateDataset gave.`);
}

/**
 * The mount of a storage URI. A bucket of OSS is a folder beside the file systems of NAS.
 * @throws ApiError `InvalidParameter` for another scheme, or a path that is not one word in a shell.
 */
export function toMount(where: string, mountPath: unknown, uri: unknown, schemes: readonly string[]): Mount {
  const match = /^(\w+):\/\/([^./]+)[^/]*(\/.*)?$/.exec(typeof uri === 'string' ? uri : '');
  if (!match || !schemes.includes(match[1] as string)) {
    const forms = schemes.map(
      (scheme) => `${scheme}://<${scheme === 'nas' ? 'id>.<region' : 'bucket>.<endpoint'}>/<path>`,
    );
    throw invalidParameter(`${where}.Uri is "${String(uri)}"; pai-local mounts ${forms.join(' and ')} only.`);
  }
  return placedIn(where, mountPath, match[2] as string, match[3] ?? '/');
}

/** The mounts of a service's `storage`. @throws ApiError `InvalidParameter` */
export function parseServiceStorage(value: unknown): Mount[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidParameter('storage is not a list.');
  return checkDistinct(
    value.map((entry: unknown, index) => {
      const where = `storage[${index}]`;
      const { mount_path: mountPath, nfs, oss } = isRecord(entry) ? entry : {};
      if (isRecord(oss)) return toMount(`${where}.oss`, mountPath, oss.path, ['oss']);
      if (!isRecord(nfs)) {
        throw invalidParameter(`${where} has neither nfs nor oss; pai-local mounts nfs {server, path} and oss {path}.`);
      }
      const fileSystem = typeof nfs.server === 'string' ? /^([^./]+)\./.exec(nfs.server)?.[1] : undefined;
      if (fileSystem === undefined) {
        throw invalidParameter(`${where}.nfs.server is not <id>.<region>.nas.aliyuncs.com: ${String(nfs.server)}`);
      }
      return placedIn(where, mountPath, fileSystem, nfs.path ?? '/');
    }),
  );
}

function placedIn(where: string, mountPath: unknown, fileSystem: string, path: unknown): Mount {
  const target = typeof mountPath === 'string' ? trimSlashes(posix.normalize(mountPath)) : '';
  if (!target.startsWith('/')) {
    throw invalidParameter(`${where}: the mount path is not an absolute path below /: ${String(mountPath)}`);
  }
  // The folder is put into shell commands as it is, so it must be one word there, and must not climb out of the NAS.
  const isPlain = typeof path === 'string' && /^\/[\w./+@%,:=-]*$/.test(path) && !path.split('/').includes('..');
  if (!isPlain || !/^[\w-]+$/.test(fileSystem)) {
    throw invalidParameter(
      `${where}: pai-local takes letters, digits and _./+@%,:=- in "${fileSystem}" and "${String(path)}", and no "..".`,
    );
  }
  return { mountPath: target, nasPath: trimSlashes(posix.join(fileSystem, path)) };
}

function trimSlashes(path: string): string {
  return path.replace(/\/+$/, '');
}

function checkDistinct(mounts: Mount[]): Mount[] {
  const paths = mounts.map((mount) => mount.mountPath);
  const repeated = paths.find((path, index) => paths.indexOf(path) !== index);
  if (repeated === undefined) return mounts;
  throw invalidParameter(`Two sources are mounted at ${repeated}.`);
}

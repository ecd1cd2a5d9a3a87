import { readFile, stat } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { isRecord } from './parameters.ts';

/**
 * What stands for a container image: a folder whose `bin/` comes first on PATH, with an optional `env.json`, an object of
 * strings in which `${IMAGE}` is the folder itself.
 */
export interface Image {
  readonly name: string;
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The folder name of an image reference: its last path part without tag and digest. */
export function imageName(reference: string): string {
  const last = reference.split('/').at(-1) as string;
  return last.replace(/@.*$/, '').replace(/:.*$/, '');
}

/**
 * Opens the image that `reference` names in `imagesDirectory`.
 * @throws InvalidInputError `CPT_INPUT_IMAGE` when there is none, or its env.json is not an object of strings.
 */
export async function openImage(imagesDirectory: string, reference: string): Promise<Image> {
  const name = imageName(reference);
  const directory = join(imagesDirectory, name);
  const isNamed = /^[A-Za-z0-9][\w.-]*$/.test(name);
  const found = isNamed ? await stat(directory).catch(() => undefined) : undefined;
  if (!found?.isDirectory()) {
    throw new InvalidInputError(
      'CPT_INPUT_IMAGE',
      `image "${reference}": there is no folder "${name}" in ${imagesDirectory}`,
    );
  }
  return { name, directory, env: await readImageEnv(directory) };
}

async function readImageEnv(directory: string): Promise<Record<string, string>> {
  const path = join(directory, 'env.json');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  const value = parseObject(text);
  if (value && Object.values(value).every((item) => typeof item === 'string')) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholder is spelled like this in env.json
    const expand = (item: string) => item.replaceAll('${IMAGE}', () => directory);
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, expand(item as string)]));
  }
  throw new InvalidInputError('CPT_INPUT_IMAGE', `${path}: this is not a JSON object of strings`, { file: path });
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The environment that a process of this image starts from. Nothing else of the host's environment is passed on: a
 * container would not see it, and it holds the caller's credentials.
 */
export function imageEnvironment(image: Image, home: string, hostPath: string): Record<string, string> {
  return {
    PATH: [join(image.directory, 'bin'), dirname(process.execPath), hostPath].join(delimiter),
    HOME: home,
    LANG: 'C.UTF-8',
    ...image.env,
  };
}

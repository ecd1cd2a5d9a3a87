import { type ByteSource, InvalidInputError, sliceSource } from '@pai-cpt/core';
import { LENGTH_BYTES, parseHeader, parseHeaderLength, refuseLfsPointer, type TensorInfo } from './header.ts';

/** An open file: its header is in memory, its tensors are not. */
export interface SafetensorsFile {
  readonly file: string;
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** All bytes of a tensor, in a buffer of its own. */
  read(name: string, signal?: AbortSignal): Promise<Uint8Array>;
  /** The bytes of a tensor, addressed from 0, to be read in parts. */
  tensorSource(name: string): ByteSource;
}

/**
 * Opens a safetensors file: two reads, the length field and the header, whatever the size of the file.
 * @throws FormatError the codes of `parseHeader`, and `CPT_FORMAT_LFS_POINTER`.
 */
export async function openSafetensors(
  source: ByteSource,
  file: string,
  signal?: AbortSignal,
): Promise<SafetensorsFile> {
  const start = await source.read(0, Math.min(LENGTH_BYTES, source.byteLength), signal);
  refuseLfsPointer(start, file);
  const length = parseHeaderLength(start, source.byteLength, file);
  const header = parseHeader(await source.read(0, LENGTH_BYTES + length, signal), source.byteLength, file);
  const tensorSource = (name: string) => {
    const { byteOffset, byteLength } = tensorNamed(header.tensors, name, file);
    return sliceSource(source, byteOffset, byteLength, `${file} "${name}"`);
  };
  return {
    file,
    tensors: header.tensors,
    metadata: header.metadata,
    tensorSource,
    async read(name, abort) {
      const bytes = tensorSource(name);
      return (await bytes.read(0, bytes.byteLength, abort)).slice();
    },
  };
}

/** @throws InvalidInputError `CPT_INPUT_INVALID` when there is no such tensor. */
export function tensorNamed<T>(tensors: ReadonlyMap<string, T>, name: string, file: string): T {
  const found = tensors.get(name);
  if (found) return found;
  throw new InvalidInputError('CPT_INPUT_INVALID', `${file}: there is no tensor "${name}" among its ${tensors.size}`, {
    file,
    names: [name],
  });
}

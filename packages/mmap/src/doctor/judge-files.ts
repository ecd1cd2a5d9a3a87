import { CptError } from '@pai-cpt/core';
import { checkIndex, type IndexFindings } from '../index-format.ts';
import type { IndexFile } from '../read-index.ts';
import type { Sidecar } from '../sidecar.ts';
import { TOKEN_DTYPES } from '../token-dtype.ts';
import type { Finding } from './finding.ts';
import { fittingDtypes, pointersOf } from './index-file.ts';

/** The finding for an error of ours that refused the files, with what could be done about it. */
export function refusalFinding(error: unknown, advice?: string): Finding {
  if (!CptError.isInstance(error)) throw error;
  return { code: error.code, level: 'error', message: error.message, ...(advice && { advice }) };
}

/** Every promise of the index, and what is odd about it and allowed. Without `checked`, nothing more can be read. */
export function judgeIndex(
  index: IndexFile,
  binBytes: number,
  files: { idx: string; bin: string },
  isForTraining: boolean,
): { findings: Finding[]; checked?: IndexFindings } {
  const width = wrongWidth(index, binBytes, files.idx);
  try {
    const checked = checkIndex(index.header, index.arrays, binBytes, files);
    if (width) return { findings: [width], checked };
    return { findings: judgeOddities(index, checked, binBytes, files, isForTraining), checked };
  } catch (error) {
    const refused = refusalFinding(error, width ? undefined : repairAdvice(index, binBytes));
    return { findings: width ? [width, refused] : [refused] };
  }
}

/** The header's dtype against the one that pointers and file size fit. */
function wrongWidth({ header, arrays }: IndexFile, binBytes: number, file: string): Finding | undefined {
  const fitting = fittingDtypes(arrays, binBytes);
  const named = TOKEN_DTYPES[header.dtype];
  if (fitting.length === 0 || fitting.some((dtype) => TOKEN_DTYPES[dtype].bytes === named.bytes)) return undefined;
  const likely =
    fitting.find((dtype) => dtype === 'uint16' || dtype === 'int32') ?? (fitting[0] as typeof header.dtype);
  const { code, bytes } = TOKEN_DTYPES[likely];
  return {
    code: 'wrong-width',
    level: 'error',
    message: `${file}: the header names ${header.dtype}, ${named.bytes} bytes a token; pointers and the size of .bin fit ${bytes} bytes, ${likely}`,
    advice: `build the dataset again, or in a copy set byte 17 of .idx to ${code}`,
    numbers: { width: named.bytes, fittingWidth: bytes },
  };
}

function repairAdvice({ header, arrays }: IndexFile, binBytes: number): string | undefined {
  const { bytes: width } = TOKEN_DTYPES[header.dtype];
  if (arrays.lengths.some((length) => length < 0)) return undefined;
  const pointers = pointersOf(arrays.lengths, header.dtype);
  const last = pointers.length - 1;
  const needed = last < 0 ? 0 : (pointers[last] as number) + (arrays.lengths[last] as number) * width;
  const isContiguous = pointers.every((pointer, i) => pointer === arrays.pointers[i]);
  if (!isContiguous && needed === binBytes)
    return 'the lengths fit .bin exactly: cpt-mmap repair PREFIX OUT --pointers lays the pointers anew';
  if (isContiguous && needed > binBytes)
    return 'copy .bin again; or keep the documents that are whole: cpt-mmap repair PREFIX OUT --truncate';
  return undefined;
}

function judgeOddities(
  { header, arrays }: IndexFile,
  checked: IndexFindings,
  binBytes: number,
  files: { idx: string; bin: string },
  isForTraining: boolean,
): Finding[] {
  const { bytes: width } = TOKEN_DTYPES[header.dtype];
  const { lengths, documentIndex } = arrays;
  const documents = documentIndex.length - 1;
  const findings: Finding[] = [];
  const add = (
    level: Finding['level'],
    code: string,
    message: string,
    numbers: Record<string, number>,
    advice?: string,
  ) => findings.push({ code, level, message, numbers, ...(advice && { advice }) });

  if (checked.tokenCount === 0) {
    const message = `${files.bin}: the dataset is empty; Megatron cannot map an empty file`;
    add(isForTraining ? 'error' : 'warn', 'empty', message, { documents }, 'build it from texts that are not empty');
  }
  if (!checked.isContiguous) {
    const message = `${files.idx}: the pointers do not follow one another (a foreign writer); readers follow them`;
    add('warn', 'foreign-pointers', message, { sequences: lengths.length });
  }
  const trailing = binBytes - checked.tokenCount * width;
  if (checked.isContiguous && trailing > 0) {
    const message = `${files.bin}: ${trailing} bytes after the last sequence belong to none; Megatron's merge would shift all that follows`;
    add('warn', 'trailing-bytes', message, { trailing }, 'cpt-mmap repair PREFIX OUT --truncate leaves them out');
  }
  const emptyDocuments = countWhere(documents, (i) => documentIndex[i] === documentIndex[i + 1]);
  if (emptyDocuments > 0)
    add('info', 'empty-documents', `${emptyDocuments} of ${documents} documents have no sequence`, {
      emptyDocuments,
      documents,
    });
  const emptySequences = countWhere(lengths.length, (i) => lengths[i] === 0);
  if (emptySequences > 0)
    add('info', 'empty-sequences', `${emptySequences} of ${lengths.length} sequences have no id`, { emptySequences });
  const filled = documents - emptyDocuments;
  if (lengths.length !== filled) {
    const message = `${lengths.length} sequences in ${filled} documents: GPT training takes each sequence for a document and shuffles them apart`;
    add(
      'warn',
      'several-sequences',
      message,
      { sequences: lengths.length, documents: filled },
      'one text a document gives one sequence each',
    );
  }
  if (header.hasModes)
    add('info', 'modes', 'a multimodal set: one mode a sequence, which text training does not read', {});
  return findings;
}

function countWhere(length: number, isCounted: (i: number) => boolean): number {
  let count = 0;
  for (let i = 0; i < length; i++) if (isCounted(i)) count++;
  return count;
}

/** The counts of the sidecar against those of the files; `maxId` is the largest id read. */
export function judgeSidecar(
  sidecar: Sidecar,
  { header, arrays }: IndexFile,
  facts: { tokens: number; maxId: number | undefined; sha256: { bin: string; idx: string } | undefined },
): Finding {
  const differences: string[] = [];
  const compare = (name: string, noted: unknown, found: unknown) => {
    if (noted !== undefined && noted !== found) differences.push(`${name} ${noted}, the files have ${found}`);
  };
  compare('documents', sidecar.documents, arrays.documentIndex.length - 1);
  compare('sequences', sidecar.sequences, header.sequenceCount);
  compare('tokens', sidecar.tokens, facts.tokens);
  compare('dtype', sidecar.dtype, header.dtype);
  if (facts.maxId !== undefined && facts.maxId > sidecar.maxId) compare('maxId', sidecar.maxId, facts.maxId);
  if (facts.sha256) {
    compare('sha256 of .bin', sidecar.sha256?.bin, facts.sha256.bin);
    compare('sha256 of .idx', sidecar.sha256?.idx, facts.sha256.idx);
  }
  if (differences.length > 0) {
    return {
      code: 'sidecar-differs',
      level: 'error',
      message: `the .json beside the dataset is not of these files: it says ${differences.join('; ')}`,
      advice: 'the files were replaced or damaged after the build; build again',
      numbers: { differences: differences.length },
    };
  }
  const hashes = facts.sha256 ? 'counts and sha256 agree' : 'counts agree';
  return { code: 'sidecar', level: 'info', message: `built with ${sidecar.tokenizer.file}; ${hashes}` };
}

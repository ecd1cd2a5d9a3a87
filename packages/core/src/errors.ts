/** What a code means to a caller. `docs/errors.md` says the same, and a test holds the two equal in both directions. */
export interface ErrorEntry {
  readonly httpStatus: number;
  readonly retryable: boolean;
  readonly meaning: string;
}

const entry = (httpStatus: number, retryable: boolean, meaning: string): ErrorEntry => ({
  httpStatus,
  retryable,
  meaning,
});
const caller = (meaning: string): ErrorEntry => entry(400, false, meaning);
const badFile = (meaning: string): ErrorEntry => entry(422, false, meaning);
const notYet = (meaning: string): ErrorEntry => entry(501, false, meaning);

/** Every code this project throws. Codes are part of the public interface: they are never renamed. */
export const ERRORS = {
  // The caller gave something that cannot be.
  CPT_INPUT_FILE_MISSING: caller('A named file does not exist or is not a regular file.'),
  CPT_INPUT_INVALID: caller('An argument, a field or a body is missing, unknown or out of range.'),
  CPT_INPUT_OUTPUT_EXISTS: caller('The output already exists and overwriting was not asked for.'),
  CPT_INPUT_PLAN_BLOCKED: caller('The plan of a run has findings that block it, and it was not forced.'),
  CPT_INPUT_JOB_RESUME: caller(
    'A job runs, is not of this specification, or has no checkpoint with anything left to train.',
  ),
  CPT_INPUT_JOB_TOO_LARGE: caller('A job is larger than the 65,536 bytes that PAI accepts for all its parameters.'),
  CPT_CONFIG_CREDENTIALS: caller('No credential was given and the default chain of Alibaba Cloud found none.'),
  CPT_CONFIG_OFFICIAL_CLIENT: caller('The official client that was asked for is not installed, or is another one.'),
  CPT_INPUT_LINE_TOO_LONG: caller('A line, or a record in another kind of file, is longer than --max-line allows.'),
  CPT_INPUT_TOO_MANY_BAD: caller('More records of an input are bad than --max-bad allows.'),
  CPT_INPUT_ADDED_TOKEN: caller(
    'A text spells an added token such as <|endoftext|>, and --specials error was asked for.',
  ),
  CPT_INPUT_RESUME_MISMATCH: caller('An unfinished build is there whose options or inputs are not those of this one.'),
  CPT_INPUT_BUILD_RUNNING: entry(409, true, 'Another process is building the same dataset.'),
  CPT_INPUT_OUTPUT_LOCKED: entry(409, true, 'Another process writes into the same output directory.'),
  CPT_INPUT_DISK_SPACE: caller('The disk has less room than the output needs.'),
  CPT_INPUT_EMPTY_DATASET: caller('A dataset, or its held-out part, would hold no token.'),
  CPT_INPUT_TOKEN_RANGE: caller('A token id does not fit the dtype it is to be stored in.'),
  CPT_INPUT_DTYPES_DIFFER: caller('Datasets that store ids differently are to become one, and no dtype was given.'),
  CPT_INPUT_TOKENIZERS_DIFFER: caller('Datasets made with different tokenizers are to become one.'),
  CPT_INPUT_TOO_FEW_TOKENS: caller(
    'A dataset has fewer tokens than are to be taken from it, and repeating was not asked for.',
  ),
  CPT_INPUT_IMAGE: caller('No image of this name is there, or its env.json is not an object of strings.'),
  CPT_INPUT_CHECKPOINT_MISSING: caller('No checkpoint, or not the iteration asked for, lies under this path.'),
  CPT_INPUT_UNVERIFIED: caller('The converted checkpoint was not verified, or was changed after it was verified.'),
  CPT_CONFIG_MODEL: caller('The model configuration lacks a field or contradicts itself or the files.'),
  CPT_CONFIG_FAMILY_AMBIGUOUS: caller('The tensor names fit several model families; a reference config.json decides.'),
  CPT_INPUT_LOSSY_CAST: caller('A cast to a dtype that cannot hold all bits was asked for, and --allow-cast was not.'),
  CPT_INPUT_CAST_OVERFLOW: caller('A finite value is beyond the range of the dtype that was asked for.'),
  CPT_CONFIG_VOCAB_SIZE: caller('The vocabulary size does not fit the embedding table or the tokenizer.'),
  CPT_CONFIG_INVALID: caller('A setting from the environment is missing, malformed or unsafe.'),
  CPT_CONFIG_DATA_DIRECTORY: caller('The data directory cannot hold a database.'),
  CPT_CONFIG_DATA_DIRECTORY_IN_USE: entry(409, true, 'Another process uses the data directory.'),
  CPT_INPUT_UNAUTHORIZED: entry(401, false, 'The bearer token is missing or wrong.'),
  CPT_INPUT_ORIGIN: entry(403, false, 'A service without a token answers only to its own loopback address.'),
  CPT_INPUT_NOT_FOUND: entry(404, false, 'Nothing lies under this path.'),
  CPT_INPUT_BODY_TOO_LARGE: entry(413, false, 'The request body is larger than the service reads.'),
  CPT_INPUT_MEDIA_TYPE: entry(415, false, 'The request body is not declared as application/json.'),
  CPT_INPUT_IDEMPOTENCY_KEY_REUSED: entry(422, false, 'The Idempotency-Key was used before for another request.'),
  CPT_INPUT_IDEMPOTENCY_IN_FLIGHT: entry(409, true, 'A request with this Idempotency-Key is still being worked on.'),
  CPT_INPUT_IDEMPOTENCY_UNKNOWN: entry(409, false, 'An earlier request with this key ended without a known outcome.'),
  CPT_INPUT_SUBMIT_KEY_REUSED: entry(422, false, 'The key of a submission was used before for another run.'),
  CPT_INPUT_SUBMIT_IN_FLIGHT: entry(409, true, 'Another caller is working on the submission with this key.'),
  CPT_INPUT_SUBMIT_FENCED: entry(409, true, 'Another caller has taken the submission over; the same key continues it.'),

  // A file is not what it claims to be.
  CPT_FORMAT_TRUNCATED: badFile('A file ends before what its own header promises.'),
  CPT_FORMAT_SHAPE_MISMATCH: badFile('A shape does not agree with its data, or is impossible.'),
  CPT_FORMAT_HEADER_TOO_SMALL: badFile('A safetensors file is shorter than its length field, or its header is empty.'),
  CPT_FORMAT_HEADER_TOO_LARGE: badFile('A safetensors header claims more than the format allows, or too many tensors.'),
  CPT_FORMAT_HEADER_ENCODING: badFile('A safetensors header or index is not plain UTF-8 text.'),
  CPT_FORMAT_HEADER_JSON: badFile('A safetensors header or index is not strict JSON of the expected form.'),
  CPT_FORMAT_DUPLICATE_KEY: badFile('A safetensors header or index names one key twice.'),
  CPT_FORMAT_METADATA: badFile('The metadata of a safetensors file holds something other than strings.'),
  CPT_FORMAT_UNKNOWN_DTYPE: badFile('A tensor has a dtype that is not in the list of known ones.'),
  CPT_FORMAT_OFFSETS: badFile('The offsets of a tensor are negative, reversed, or not whole numbers below 2^53.'),
  CPT_FORMAT_SPAN_OVERLAP: badFile('Two tensors claim the same bytes.'),
  CPT_FORMAT_SPAN_HOLE: badFile('Bytes between two tensors belong to none.'),
  CPT_FORMAT_TRAILING_BYTES: badFile('Bytes after the last tensor belong to none.'),
  CPT_FORMAT_LFS_POINTER: badFile('A file is the text of a Git LFS pointer, not the data it stands for.'),
  CPT_FORMAT_SHARD_PATH: badFile('An index names a shard by a path, not by a file name beside it.'),
  CPT_FORMAT_SHARD_MISSING: badFile('An index names a shard that is not there.'),
  CPT_FORMAT_INDEX_MISMATCH: badFile('An index and its shards do not hold the same tensors.'),
  CPT_FORMAT_STORAGE_MISSING: badFile('A tensor of a torch file names a storage that the file does not hold.'),
  CPT_FORMAT_STORAGE_SIZE: badFile('A storage of a torch file is not as long as its tensor says.'),
  CPT_FORMAT_STORAGE_BOUNDS: badFile('The strides of a tensor reach outside its storage.'),
  CPT_FORMAT_TORCH_LAYOUT: badFile('A file is not laid out as torch.save lays it out.'),

  // A pickle inside a torch file; it is read as data and never run.
  CPT_PICKLE_FORBIDDEN_GLOBAL: badFile('A pickle names a function or class that only an attack would name.'),
  CPT_PICKLE_OPCODE: badFile('A pickle uses an opcode that is unknown or refused.'),
  CPT_PICKLE_TRUNCATED: badFile('A pickle ends in the middle.'),
  CPT_PICKLE_TRAILING_BYTES: badFile('Bytes follow the end of a pickle.'),
  CPT_PICKLE_LENGTH: badFile('A length in a pickle is negative or past 2^53.'),
  CPT_PICKLE_FRAME: badFile('A frame of a pickle does not end where its length says.'),
  CPT_PICKLE_LIMIT: badFile('A pickle passes a limit on size, depth, operations or expansion.'),
  CPT_PICKLE_MALFORMED: badFile('An opcode of a pickle meets a value it cannot work on.'),
  CPT_PICKLE_TENSOR: badFile('A pickle rebuilds a tensor or storage from arguments that torch never writes.'),

  // The zip container of a torch file.
  CPT_ZIP_NOT_A_ZIP: badFile('A file is of another format than zip; the message names it where it is known.'),
  CPT_ZIP_TRUNCATED: badFile('A zip file has no end record: its end is missing.'),
  CPT_ZIP_DIRECTORY: badFile('The directory of a zip file is malformed or contradicts itself.'),
  CPT_ZIP_PATH: badFile('A zip entry has a path that could leave its folder, or is a link.'),
  CPT_ZIP_COMPRESSED: badFile('A zip entry is compressed; torch stores entries as they are.'),
  CPT_ZIP_ENCRYPTED: badFile('A zip entry is encrypted or patched.'),
  CPT_ZIP_DUPLICATE: badFile('Two zip entries have one name.'),
  CPT_ZIP_OVERLAP: badFile('Two zip entries share bytes.'),
  CPT_ZIP_OUT_OF_RANGE: badFile('A zip entry lies outside the file.'),
  CPT_ZIP_HEADER_MISMATCH: badFile('The local header of a zip entry contradicts the directory.'),
  CPT_ZIP_FOREIGN_BYTES: badFile('A zip file holds bytes that belong to no entry.'),
  CPT_ZIP_CRC: badFile('The bytes of a zip entry do not have its checksum.'),
  CPT_FORMAT_JSON_LINE: badFile('A line of a JSONL file is not a JSON object.'),
  CPT_FORMAT_MMAP_BIN_TRUNCATED: badFile('A .bin file is shorter than its .idx file says.'),
  CPT_FORMAT_MMAP_DOCUMENT_INDEX: badFile('A document index does not rise from 0 to the number of sequences.'),
  CPT_FORMAT_MMAP_DTYPE: badFile('An .idx file has a dtype code outside 1 to 8.'),
  CPT_FORMAT_MMAP_LENGTH: badFile('An .idx file gives a sequence a negative length.'),
  CPT_FORMAT_MMAP_MAGIC: badFile('A file is not a Megatron MMIDIDX index.'),
  CPT_FORMAT_MMAP_POINTER: badFile('An .idx file points outside its .bin file, or between two tokens.'),
  CPT_FORMAT_MMAP_TOKEN_RANGE: badFile('A stored token id is outside 32 bits.'),
  CPT_FORMAT_MMAP_TRAILING: badFile(
    'An .idx file goes on after its arrays, by neither zero nor one byte per sequence.',
  ),
  CPT_FORMAT_MMAP_UNREPAIRABLE: badFile('What is left of a dataset does not say how to repair it.'),
  CPT_FORMAT_MMAP_VERSION: badFile('An .idx file has a version other than 1.'),
  CPT_FORMAT_SIDECAR: badFile('The .json file beside a dataset is not one that this project wrote.'),
  CPT_FORMAT_TEXT_MISSING: badFile('A JSONL object has no text, or no list of texts, under the key asked for.'),
  CPT_FORMAT_TOKENIZER: badFile('A tokenizer.json cannot be loaded.'),
  CPT_FORMAT_UTF8: badFile('A text file is not UTF-8.'),
  CPT_FORMAT_COMPRESSED: badFile('A gzip or zstd file ends early, fails its checksum or holds foreign bytes.'),
  CPT_FORMAT_PARQUET: badFile('A parquet file cannot be read.'),
  CPT_FORMAT_RANK_GRID: badFile('The rank files are not the full grid of tensor ranks and pipeline stages.'),
  CPT_FORMAT_RANK_FILE: badFile('A rank file lacks an entry it must have, or the entry has the wrong type.'),
  CPT_FORMAT_RANKS_DIFFER: badFile('Rank files of one checkpoint disagree where they must be equal.'),
  CPT_FORMAT_DIST_METADATA: badFile('The .metadata of a distributed checkpoint is not laid out as torch writes it.'),
  CPT_FORMAT_DIST_CHUNKS: badFile(
    'The chunks of a distributed tensor leave a gap, overlap, or are not what .metadata says.',
  ),
  CPT_FORMAT_PIPELINE_LAYERS: badFile('The layers in the pipeline stages have holes or do not add up to the model.'),
  CPT_FORMAT_TIED_COPY: badFile('The output table of a tied model is not the copy of the embedding it must be.'),
  CPT_FORMAT_SUBMIT_JOURNAL: badFile('A line of a submission journal is not a record, and it is not the last.'),
  CPT_FORMAT_STATE_FILE: badFile('A state file of pai-local is not a record of the kind its folder holds.'),

  // Known and not built.
  CPT_UNSUPPORTED_CHECKPOINT: notYet('The checkpoint format is recognised and not read yet.'),
  CPT_UNSUPPORTED_MODEL: notYet('The model uses a feature that the converter does not handle.'),
  CPT_UNSUPPORTED_CAST: notYet('No conversion exists between these two dtypes.'),
  CPT_UNSUPPORTED_RUN: notYet(
    'The model, its dtype or its division over ranks is one that model-runner cannot compute.',
  ),
  CPT_UNSUPPORTED_TORCH_LEGACY: notYet('A torch file of before 0.4 with views of storages.'),
  CPT_UNSUPPORTED_TORCHSCRIPT: notYet('A TorchScript archive: a program, not a checkpoint.'),
  CPT_UNSUPPORTED_BYTE_ORDER: notYet('The data of a torch file is big-endian.'),
  CPT_UNSUPPORTED_TOKEN_DTYPE: notYet('A dataset stores floating point numbers, which are not token ids.'),
  CPT_UNSUPPORTED_SPECIALS: notYet('Added tokens cannot be read as plain text with this kind of tokenizer.'),
  CPT_UNSUPPORTED_COMPRESSION: notYet('A zstd frame needs a dictionary or a larger window than is read.'),

  // Names and tables.
  CPT_MAPPING_NAMES: badFile('Parameter names do not match the family table one to one.'),
  CPT_MAPPING_WEIGHT: badFile('A weight that a model needs to run is missing or has another shape.'),

  // Programs that this one runs.
  CPT_PROGRAM_FAILED: entry(500, false, 'A program that was started ended with an error.'),
  CPT_CHECK_FAILED: entry(500, false, 'A result that must hold does not.'),

  // The disk, or what is mounted in its place.
  CPT_DISK_FULL: entry(507, true, 'A disk or a quota became full in the middle; what was finished is kept.'),
  CPT_DISK_FAILED: entry(500, true, 'A disk or file server refused a read, a write or a rename.'),

  // The service itself.
  CPT_SERVICE_DATABASE: entry(503, true, 'The database of the service cannot be reached or did not start.'),
  CPT_SERVICE_SUBMIT_UNKNOWN: entry(
    504,
    false,
    'Whether PAI created the job is not known; look for it in the list of jobs before submitting it again.',
  ),
  CPT_SERVICE_INTERNAL: entry(500, false, 'The service has a defect; its log names the request.'),

  // Training on this machine.
  CPT_TRAIN_DIVERGED: entry(422, false, 'The loss or the gradient of a training run is no longer a finite number.'),
  CPT_TRAIN_PEER_LOST: entry(
    502,
    true,
    'A replica of a training job ended, or was never one, before the job was done.',
  ),

  // PAI refused or failed.
  CPT_PAI_THROTTLED: entry(429, true, 'PAI limits the rate of calls; details.retryAfterMs is the wait it asks.'),
  CPT_PAI_UNAVAILABLE: entry(502, true, 'PAI or the network failed, or the answer was not JSON.'),
  CPT_PAI_TIMEOUT: entry(504, true, 'PAI did not answer in time; whether it acted is unknown.'),
  CPT_PAI_FORBIDDEN: entry(403, false, 'The account or role may not do this.'),
  CPT_PAI_NOT_FOUND: entry(404, false, 'PAI knows no job, pod or service of this name.'),
  CPT_PAI_REJECTED: entry(422, false, 'PAI refused the request as it stands.'),
  CPT_PAI_SIGNATURE: entry(502, false, 'PAI refused the access key, the token, the clock or the signature.'),
  CPT_PAI_SUBMIT_UNKNOWN: entry(
    504,
    true,
    'Whether PAI created the job is not known yet; the same key continues the submission, another risks a second job.',
  ),
  CPT_PAI_SUBMIT_DUPLICATE: entry(502, true, 'A second job of a submission runs and could not be stopped yet.'),
  CPT_PAI_SERVICE_FAILED: entry(502, false, 'A service failed or stopped while it was awaited.'),
  CPT_PAI_GATE_FAILED: entry(
    422,
    false,
    'A service did not answer its golden prompts as expected; it gets no traffic.',
  ),
  CPT_PAI_CANARY_FAILED: entry(
    422,
    false,
    'A canary was unhealthy, slow or wrong; the traffic is where it was before.',
  ),
  CPT_PAI_LIST_UNSTABLE: entry(502, true, 'A list changed each time it was read; what was given may lack entries.'),
  CPT_PAI_NO_WAY_BACK: entry(409, false, 'A canary failed, and the service to go back to is gone or does not run.'),

  // Waiting.
  CPT_WAIT_TIMEOUT: entry(504, true, 'The awaited state did not come before the deadline.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** Facts beside the message; `file`, `byteOffset`, `field` and `names` are the usual keys. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

const marker = Symbol.for('pai-cpt.error');

/** The base of every error this project throws on purpose. Tell them by `code`, or by class through `isInstance`. */
export class CptError extends Error {
  readonly [marker] = true;
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
    this.name = new.target.name;
  }

  get httpStatus(): number {
    return ERRORS[this.code].httpStatus;
  }

  get isRetryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  /** True also for an error that another copy of this package made, where `instanceof` is false. */
  static isInstance(error: unknown): error is CptError {
    return typeof error === 'object' && error !== null && marker in error;
  }
}

/** The caller acts: a file, a field or an option is wrong. */
export class InvalidInputError extends CptError {}

/** Whoever made the file acts. `details` name the `file` and, where one is known, the `byteOffset`. */
export class FormatError extends CptError {}

/** We act: a feature that is recognised and not built. `details.feature` names it. */
export class UnsupportedError extends CptError {}

/** Names do not match a family's table; `details.names` lists all of them at once. */
export class MappingError extends CptError {}

/** PAI refused or failed; `details` carry `status`, `paiCode` and `requestId`. */
export class PaiError extends CptError {}

/** A wait ended at its deadline; `details.last` is the last value seen. */
export class WaitTimeoutError extends CptError {}

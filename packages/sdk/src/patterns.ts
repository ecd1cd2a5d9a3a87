/** A form that a text must have, and the words for it in an error message. */
export interface TextForm {
  readonly pattern: string;
  readonly expects: string;
}

/**
 * A path that may reach the launch script. The script of Pai-Megatron-Patch joins its arguments into one line and runs
 * `eval` on it, so quoting on our side is undone there: a space splits the path and `$(…)` would be run. Hence a closed
 * set of characters instead of quoting.
 */
export const SAFE_PATH: TextForm = {
  pattern: '^(?!.*/\\.\\.?(/|$))(/[A-Za-z0-9._@+=,:-]+)+/?$',
  expects: 'an absolute path of letters, digits and . _ @ + = , : -, without .. (the launch script runs eval on it)',
};

/** NAS is the only kind of storage that PAI's continued pre-training writes to. */
export const NAS_URI: TextForm = {
  pattern: '^nas://[A-Za-z0-9-]+\\.[a-z0-9-]+(/[^\\s]*)?$',
  expects: 'a folder on NAS, nas://<file system id>.<region>/<path>; no other storage can be used here',
};

/** What a job can mount to read from. */
export const STORAGE_URI: TextForm = {
  pattern: '^(nas|oss|cpfs)://[^\\s/]+(/[^\\s]*)?$',
  expects:
    'a folder in cloud storage, such as nas://<file system id>.<region>/<path> or oss://<bucket>.<endpoint>/<path>',
};

/** Where a model to serve can lie: EAS mounts both. */
export const MODEL_URI: TextForm = {
  pattern: '^(nas://[A-Za-z0-9-]+\\.[a-z0-9-]+|oss://[a-z0-9-]+(\\.[a-z0-9.-]+)?)(/[^\\s]*)?$',
  expects: 'a folder on NAS or OSS, nas://<file system id>.<region>/<path> or oss://<bucket>.<endpoint>/<path>',
};

/** An argument of our own programs, which is quoted for the shell: any text of one line. */
export const ARGUMENT: TextForm = {
  pattern: '^[^\\u0000-\\u001f\\u007f]+$',
  expects: 'text of one line',
};

/** A path for our own programs, also one with a pattern in it; it is quoted for the shell. */
export const INPUT_PATH: TextForm = {
  pattern: '^/[^\\u0000-\\u001f\\u007f]+$',
  expects: 'an absolute path of one line, as the job sees it',
};

/** What a shell takes for a variable. */
export const ENVIRONMENT_NAME: TextForm = {
  pattern: '^[A-Za-z_][A-Za-z0-9_]*$',
  expects: 'a name of an environment variable',
};

/** What EAS takes for the name of a service. */
export const SERVICE_NAME: TextForm = {
  pattern: '^[a-z][a-z0-9_]{2,62}$',
  expects: '3 to 63 lower-case letters, digits and _, starting with a letter',
};

/** The text that a model or an image is called by: no space, nothing that a shell reads. */
export const PLAIN_NAME: TextForm = {
  pattern: '^[A-Za-z0-9][A-Za-z0-9._/@:-]*$',
  expects: 'letters, digits and . _ / @ : -, starting with a letter or digit',
};

/** Every form above, by its pattern. */
export const TEXT_FORMS: ReadonlyMap<string, TextForm> = new Map(
  [SAFE_PATH, NAS_URI, STORAGE_URI, MODEL_URI, ENVIRONMENT_NAME, SERVICE_NAME, PLAIN_NAME].map((form) => [
    form.pattern,
    form,
  ]),
);

import { type Builder, type CallContext, ENTRY_BYTES, type Refuse } from './call-context.ts';
import {
  describeValue,
  isKind,
  type PickleDtype,
  type PickleGlobal,
  type PickleMap,
  type PickleRecord,
  type PickleValue,
} from './pickle-values.ts';
import { PYTHON_MODULES } from './python-modules.ts';
import { TENSOR_BUILDERS, TORCH_DTYPES } from './torch-tensors.ts';

const DOTTED_NAME = /^[\p{L}\p{N}_]+(\.[\p{L}\p{N}_]+)*$/u;
const names = (module: string, list: string) => list.split(' ').map((name) => `${module} ${name}`);

/** The data types of Python's own library that a checkpoint may hold; every other name of it is refused. */
const PYTHON_DATA: ReadonlySet<string> = new Set([
  ...['builtins', '__builtin__'].flatMap((module) =>
    names(
      module,
      'set frozenset list dict bytearray slice range xrange complex object int long float str unicode bytes tuple bool getattr',
    ),
  ),
  ...names('collections', 'OrderedDict defaultdict Counter deque'),
  ...names('argparse', 'Namespace'),
  ...names('types', 'SimpleNamespace'),
  ...['pathlib', 'pathlib._local'].flatMap((module) =>
    names(module, 'Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath'),
  ),
  ...names('enum', 'Enum IntEnum StrEnum Flag IntFlag'),
  ...names('signal', 'Signals Handlers Sigmasks'),
  ...['io', '_io'].flatMap((module) => names(module, 'BytesIO StringIO')),
  ...names('_codecs', 'encode'),
  ...['copyreg', 'copy_reg'].flatMap((module) => names(module, '_reconstructor')),
  ...names('datetime', 'datetime date time timedelta timezone'),
]);

/**
 * Functions of torch and numpy that rebuild data. Calls of their other functions are refused: both packages have some that
 * compile, load or run what they are given, and we know both well enough to say what a checkpoint calls.
 */
const REBUILDS =
  /^(_rebuild_\w+|_reconstruct|_mareconstruct|_frombuffer|scalar|ndarray|dtype|device|_get_layout|__\w+_ctor)$/;

const BUILDERS: ReadonlyMap<string, Builder> = new Map<string, Builder>([
  ['collections OrderedDict', dict],
  ['collections Counter', dict],
  ['collections defaultdict', (args, context) => dict(args.slice(1), context)],
  ['collections deque', (args, context) => list(args.slice(0, 1), context)],
  ['_codecs encode', encode],
  ['torch Size', (args, context) => frozen(list(args, context))],
  ['torch device', device],
  ...TENSOR_BUILDERS,
  ...['builtins', '__builtin__'].flatMap((module): [string, Builder][] => [
    [`${module} dict`, dict],
    [`${module} list`, list],
    [`${module} tuple`, (args, context) => frozen(list(args, context))],
    [`${module} set`, set],
    [`${module} frozenset`, set],
    [`${module} bytes`, bytes],
    [`${module} bytearray`, bytes],
    [`${module} getattr`, enumMember],
  ]),
  ['copyreg _reconstructor', reconstructed],
  ['copy_reg _reconstructor', reconstructed],
]);

/** What becomes of a global that a pickle names. */
export type GlobalKind = 'tensor data' | 'plain data' | 'inert record' | 'refused';

/** What a global that is not refused builds. */
export function kindOfGlobal(global: string): GlobalKind {
  const isTensor =
    TENSOR_BUILDERS.some(([name]) => name === global) || /^torch(\.storage|\.cuda)? \w+Storage$/.test(global);
  if (isTensor) return 'tensor data';
  const [module, name = ''] = global.split(' ');
  if (BUILDERS.has(global) || (module === 'torch' && TORCH_DTYPES.has(name))) return 'plain data';
  return 'inert record';
}

/**
 * The value of a named global: a dtype, or the name itself. Nothing is looked up anywhere.
 * @throws FormatError `CPT_PICKLE_FORBIDDEN_GLOBAL` for a name that only an attack would carry.
 */
export function resolveGlobal(module: string, name: string, refuse: Refuse): PickleGlobal | PickleDtype {
  const global = `${module} ${name}`;
  const root = module.split('.')[0] as string;
  if (![module, name].every((path) => DOTTED_NAME.test(path)))
    throw forbidden(global, refuse, 'that is no name of Python');
  if (PYTHON_MODULES.has(root) && !PYTHON_DATA.has(global)) {
    throw forbidden(global, refuse, "it is of Python's own library and no data type");
  }
  // "a.b.c" of a module reaches through attributes: `torch.serialization` `os.system` is os.system.
  const path = name.split('.');
  const isThrough = path.slice(0, -1).some((part) => PYTHON_MODULES.has(part));
  const isHidden = [...path, ...module.split('.').slice(1)].some((part) => /^__\w+__$/.test(part));
  if (isThrough || isHidden) throw forbidden(global, refuse, 'it reaches for the inside of another module');
  const dtype = module === 'torch' ? TORCH_DTYPES.get(name) : undefined;
  return dtype ?? { kind: 'global', global };
}

/** What a call of a global gives: plain data for the known ones, a record of the call for all others. */
export function callGlobal(
  callee: PickleGlobal,
  args: PickleValue[],
  keywords: PickleMap | undefined,
  context: CallContext,
): PickleValue {
  const { global } = callee;
  const [module = '', name = ''] = global.split(' ');
  const root = module.split('.')[0];
  const called = name.split('.').at(-1) ?? '';
  if (root === 'torch' || root === 'numpy') {
    const isClass = /^_?[A-Z]/.test(called); // `_StorageInfo` and `_MEM_FORMAT_ENCODING` are some
    if (!isClass && !REBUILDS.test(called)) {
      throw forbidden(global, context.refuse, `it is a function of ${root} that no checkpoint calls`);
    }
  }
  const builder = keywords === undefined || keywords.size === 0 ? BUILDERS.get(global) : undefined;
  return builder?.(args, context) ?? recordOf(global, args, keywords);
}

/** What a record holds until something is appended or set. */
export const NO_ITEMS = Object.freeze([]) as unknown as PickleValue[];
export const NO_ENTRIES: PickleMap = new Map();

/** An instance as the pickle describes it. */
export function recordOf(global: string, args: PickleValue[], keywords?: PickleMap): PickleRecord {
  const plain: PickleRecord = { kind: 'record', global, args, state: undefined, items: NO_ITEMS, entries: NO_ENTRIES };
  return keywords === undefined || keywords.size === 0 ? plain : { ...plain, keywords };
}

/** Some releases of Python 3.11 write an enum member as `getattr(Class, 'NAME')`; any other getattr is refused. */
function enumMember(args: PickleValue[], { refuse }: CallContext): PickleValue {
  const [owner, member] = args;
  if (args.length === 2 && isKind(owner, 'global') && typeof member === 'string' && /^[A-Za-z]\w*$/.test(member)) {
    return recordOf(owner.global, [member]);
  }
  throw forbidden('builtins getattr', refuse, 'it is not called for a member of an enum');
}

/** `copyreg._reconstructor(Class, object, None)`: an instance in the spelling of protocols 0 and 1. */
function reconstructed(args: PickleValue[], { refuse }: CallContext): PickleValue {
  const [owner] = args;
  if (args.length === 3 && isKind(owner, 'global')) return recordOf(owner.global, args.slice(2));
  throw forbidden('copyreg _reconstructor', refuse, `it is called with ${args.map(describeValue).join(', ')}`);
}

function dict(args: PickleValue[], context: CallContext): PickleValue | undefined {
  const [from] = args;
  if (args.length === 0) return new Map();
  if (args.length !== 1) return undefined;
  if (from instanceof Map) {
    context.spend(ENTRY_BYTES * from.size);
    return new Map(from);
  }
  if (!Array.isArray(from)) return undefined;
  context.spend(ENTRY_BYTES * from.length);
  const map: PickleMap = new Map();
  for (const pair of from) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined;
    map.set(pair[0] as PickleValue, pair[1] as PickleValue);
  }
  return map;
}

function list(args: PickleValue[], context: CallContext): PickleValue[] | undefined {
  const [from] = args;
  if (args.length === 0) return [];
  if (args.length !== 1 || !Array.isArray(from)) return undefined;
  context.spend(8 * from.length);
  return [...from];
}

function frozen(items: PickleValue[] | undefined): PickleValue[] | undefined {
  return items && (Object.freeze(items) as PickleValue[]);
}

function set(args: PickleValue[], context: CallContext): PickleValue | undefined {
  const items = list(args, context);
  if (items) context.spend(ENTRY_BYTES * items.length);
  return items && new Set(items);
}

/** `bytes()`, `bytes(b'…')`, and `bytearray(text, 'latin-1')`, the spelling of protocol 2. */
function bytes(args: PickleValue[], context: CallContext): PickleValue | undefined {
  const [from] = args;
  if (args.length === 0) return new Uint8Array();
  if (args.length === 1 && from instanceof Uint8Array) {
    context.spend(from.byteLength);
    return from.slice();
  }
  return args.length === 2 ? encode(args, context) : undefined;
}

/** Protocol 2 has no bytes: they travel as text of which each character is one byte. */
function encode(args: PickleValue[], context: CallContext): PickleValue | undefined {
  const [text, encoding] = args;
  const isLatin1 = typeof encoding === 'string' && /^latin-?1$/.test(encoding);
  if (typeof text !== 'string' || !isLatin1 || args.length !== 2) return undefined;
  context.spend(text.length);
  const encoded = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) throw context.refuse('CPT_PICKLE_MALFORMED', 'bytes are given as text past latin-1');
    encoded[i] = code;
  }
  return encoded;
}

function device(args: PickleValue[]): PickleValue | undefined {
  const [type, index] = args;
  if (typeof type !== 'string') return undefined;
  if (args.length === 1) return { kind: 'device', device: type };
  return args.length === 2 && typeof index === 'number' ? { kind: 'device', device: `${type}:${index}` } : undefined;
}

function forbidden(global: string, refuse: Refuse, why: string): Error {
  return refuse(
    'CPT_PICKLE_FORBIDDEN_GLOBAL',
    `it names ${global.replace(' ', '.')}; ${why}. The file is refused as an attack`,
  );
}

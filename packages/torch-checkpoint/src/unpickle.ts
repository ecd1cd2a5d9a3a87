import { CptError } from '@pai-cpt/core';
import { type CallContext, DICT_BYTES, ENTRY_BYTES, LIST_BYTES, RECORD_BYTES, type Refuse } from './call-context.ts';
import { type Argument, PickleCursor } from './pickle-cursor.ts';
import { describeValue, isKind, isTuple, type PickleMap, type PickleValue } from './pickle-values.ts';
import { callGlobal, NO_ENTRIES, NO_ITEMS, recordOf, resolveGlobal } from './torch-globals.ts';

export interface UnpickleOptions {
  /** Turns a persistent id into a value; without it BINPERSID is refused. */
  readonly persistentLoad?: (id: PickleValue, refuse: Refuse) => PickleValue;
  /** Every global that the pickle names is added, as `'module name'`. */
  readonly globals?: Set<string>;
  /** Takes note of the names of an attack, which then go on as inert names instead of stopping the machine. */
  readonly audit?: GlobalAudit;
  /** Instead of `PICKLE_LIMITS`. */
  readonly limits?: Partial<PickleLimits>;
}

/** How much of each a pickle may need. */
export interface PickleLimits {
  readonly operations: number;
  readonly stackValues: number;
  readonly marks: number;
  readonly memoEntries: number;
  /** By the estimates of `call-context.ts`. */
  readonly memoryBytes: number;
}

/** What an auditor of globals, `'module name'`, is told. */
export interface GlobalAudit {
  name(global: string): void;
  call(global: string): void;
  refuse(global: string, why: string): void;
}

/** A rank file of a 72B model runs some hundred thousand operations; each costs memory, so they are few enough to fail early. */
export const PICKLE_LIMITS: PickleLimits = {
  operations: 16_000_000,
  stackValues: 1_000_000,
  marks: 1_000,
  memoEntries: 2_000_000,
  memoryBytes: 384 * 1024 * 1024,
};
const HIGHEST_PROTOCOL = 5;

/**
 * The value of exactly one pickle of protocol 2 to 5. It is a stack machine with a memo, as Python's is, except that nothing
 * is ever looked up, imported or called: a global is its name, an instance is a record, and a few known globals are built
 * as plain data. Dangerous names are refused all the same, since only an attack would carry them.
 * @throws FormatError one `CPT_PICKLE_` code per cause, with the opcode and its offset.
 */
export function unpickle(bytes: Uint8Array, file: string, options: UnpickleOptions = {}): PickleValue {
  const { value, cursor } = run(bytes, file, options);
  cursor.end();
  return value;
}

/** The value of the pickle that these bytes begin with, and how many of them it takes; whatever follows is left alone. */
export function unpickleFirst(
  bytes: Uint8Array,
  file: string,
  options: UnpickleOptions = {},
): { readonly value: PickleValue; readonly byteLength: number } {
  const { value, cursor } = run(bytes, file, options);
  return { value, byteLength: cursor.stop() };
}

function run(bytes: Uint8Array, file: string, options: UnpickleOptions): { value: PickleValue; cursor: PickleCursor } {
  const limits = { ...PICKLE_LIMITS, ...options.limits };
  const cursor = new PickleCursor(bytes, file);
  const refuse: Refuse = (code, why) => cursor.refuse(code, why);
  let stack: PickleValue[] = [];
  const marks: PickleValue[][] = [];
  const memo = new Map<number, PickleValue>();
  let stackSize = 0;
  const known = new Map<string, PickleValue>();
  let memory = 0;
  const context: CallContext = {
    refuse,
    spend(size) {
      memory += size;
      if (memory <= limits.memoryBytes) return;
      throw refuse('CPT_PICKLE_LIMIT', `its values would take more than ${limits.memoryBytes} bytes of memory`);
    },
  };

  const operations: Readonly<Record<string, (argument: Argument) => void>> = {
    PROTO: (version) => checkProtocol(version as number),
    FRAME: (length) => cursor.frame(length as number),
    MARK: mark,
    // On an empty stack POP removes the mark, as CPython does.
    POP: () => (stack.length > 0 ? pop() : popMark()),
    POP_MARK: popMark,
    DUP: () => push(top()),
    NONE: push,
    NEWTRUE: () => push(true),
    NEWFALSE: () => push(false),
    BININT: push,
    BININT1: push,
    BININT2: push,
    LONG1: push,
    LONG4: push,
    BINFLOAT: push,
    BINUNICODE: push,
    SHORT_BINUNICODE: push,
    BINUNICODE8: push,
    SHORT_BINSTRING: push,
    BINSTRING: push,
    BINBYTES: push,
    SHORT_BINBYTES: push,
    BINBYTES8: push,
    BYTEARRAY8: push,
    EMPTY_TUPLE: () => pushNew(tuple([]), LIST_BYTES),
    TUPLE: () => pushNew(tuple(popMark()), LIST_BYTES),
    TUPLE1: () => pushNew(tuple(popMany(1)), LIST_BYTES),
    TUPLE2: () => pushNew(tuple(popMany(2)), LIST_BYTES),
    TUPLE3: () => pushNew(tuple(popMany(3)), LIST_BYTES),
    EMPTY_LIST: () => pushNew([], LIST_BYTES),
    LIST: () => pushNew(popMark(), LIST_BYTES),
    APPEND: () => append(popMany(1)),
    APPENDS: () => append(popMark()),
    EMPTY_DICT: () => pushNew(new Map(), DICT_BYTES),
    DICT: () => dict(popMark()),
    SETITEM: () => setItems(popMany(2)),
    SETITEMS: () => setItems(popMark()),
    EMPTY_SET: () => pushNew(new Set(), DICT_BYTES),
    ADDITEMS: () => addItems(popMark()),
    FROZENSET: () => pushNew(new Set(popMark().map(hashable)), DICT_BYTES),
    BINPUT: (index) => remember(index as number),
    LONG_BINPUT: (index) => remember(index as number),
    MEMOIZE: () => remember(memo.size),
    BINGET: (index) => recall(index as number),
    LONG_BINGET: (index) => recall(index as number),
    GLOBAL: (names) => pushGlobal(...(names as [string, string])),
    STACK_GLOBAL: stackGlobal,
    REDUCE: () => call(undefined, pop()),
    NEWOBJ: () => call(undefined, pop()),
    NEWOBJ_EX: () => call(pop(), pop()),
    BUILD: () => build(pop()),
    BINPERSID: () => persistent(pop()),
  };

  for (let count = 0; ; count++) {
    if (count === limits.operations) throw refuse('CPT_PICKLE_LIMIT', `more than ${limits.operations} operations`);
    const name = cursor.next();
    if (name === 'STOP') break;
    const execute = operations[name];
    if (!execute) throw refuse('CPT_PICKLE_OPCODE', 'the opcode is not built');
    execute(cursor.argument);
  }
  const result = pop();
  if (stack.length > 0 || marks.length > 0) throw refuse('CPT_PICKLE_MALFORMED', 'values are left on the stack');
  return { value: result, cursor };

  function malformed(why: string): Error {
    return refuse('CPT_PICKLE_MALFORMED', why);
  }

  function checkProtocol(protocol: number): void {
    if (protocol > HIGHEST_PROTOCOL)
      throw malformed(`protocol ${protocol} is not known; ${HIGHEST_PROTOCOL} is the highest`);
    if (cursor.opcodeOffset !== 0) throw malformed('the protocol is given in the middle');
  }

  function push(value: PickleValue): void {
    if (++stackSize > limits.stackValues)
      throw refuse('CPT_PICKLE_LIMIT', `more than ${limits.stackValues} values on the stack`);
    stack.push(value);
  }

  function pushNew(value: PickleValue, bytes: number): void {
    context.spend(bytes);
    push(value);
  }

  function pop(): PickleValue {
    const value = stack.pop();
    if (value === undefined) throw malformed('the stack is empty');
    stackSize--;
    return value;
  }

  function popMany(count: number): PickleValue[] {
    if (stack.length < count) throw malformed('the stack is empty');
    stackSize -= count;
    return stack.splice(-count);
  }

  function top(): PickleValue {
    const value = stack.at(-1);
    if (value === undefined) throw malformed('the stack is empty');
    return value;
  }

  function mark(): void {
    if (marks.length >= limits.marks)
      throw refuse('CPT_PICKLE_LIMIT', `values are nested more than ${limits.marks} deep`);
    marks.push(stack);
    stack = [];
  }

  /** What was pushed since the last mark. */
  function popMark(): PickleValue[] {
    const items = stack;
    const below = marks.pop();
    if (!below) throw malformed('there is no mark');
    stack = below;
    stackSize -= items.length;
    return items;
  }

  function remember(index: number): void {
    if (memo.size >= limits.memoEntries)
      throw refuse('CPT_PICKLE_LIMIT', `more than ${limits.memoEntries} memo entries`);
    memo.set(index, top());
  }

  function recall(index: number): void {
    const value = memo.get(index);
    if (value === undefined) throw malformed(`memo ${index} is not set`);
    push(value);
  }

  function pushGlobal(module: string, name: string): void {
    const global = `${module} ${name}`;
    options.audit?.name(global);
    const value =
      known.get(global) ??
      unlessForbidden(global, () => resolveGlobal(module, name, refuse), { kind: 'global', global });
    if (!known.has(global)) context.spend(RECORD_BYTES + 2 * global.length);
    known.set(global, value);
    options.globals?.add(global);
    push(value);
  }

  /** What `build` gives; `inert` where only an attack would ask for it and an auditor is there to be told. */
  function unlessForbidden(global: string, build: () => PickleValue, inert: PickleValue): PickleValue {
    try {
      return build();
    } catch (error) {
      const isForbidden = CptError.isInstance(error) && error.code === 'CPT_PICKLE_FORBIDDEN_GLOBAL';
      if (!options.audit || !isForbidden) throw error;
      options.audit.refuse(global, error.message);
      return inert;
    }
  }

  function stackGlobal(): void {
    const name = pop();
    const module = pop();
    if (typeof name !== 'string' || typeof module !== 'string') {
      throw malformed(`a module and a name are needed, not ${describeValue(module)} and ${describeValue(name)}`);
    }
    pushGlobal(module, name);
  }

  /** A call, by the global below its arguments; keywords come only with NEWOBJ_EX. */
  function call(keywords: PickleValue | undefined, args: PickleValue): void {
    const callee = pop();
    if (!isKind(callee, 'global')) throw malformed(`${describeValue(callee)} is called; only a global can be`);
    if (!isTuple(args)) throw malformed(`the arguments are ${describeValue(args)}; a tuple is needed`);
    if (keywords !== undefined && !(keywords instanceof Map))
      throw malformed(`keywords are ${describeValue(keywords)}`);
    options.audit?.call(callee.global);
    const made = unlessForbidden(
      callee.global,
      () => callGlobal(callee, args, keywords, context),
      recordOf(callee.global, args),
    );
    pushNew(made, Array.isArray(made) ? LIST_BYTES : RECORD_BYTES);
  }

  function dict(items: PickleValue[]): void {
    pushNew(new Map(), DICT_BYTES);
    setItems(items);
  }

  function append(items: PickleValue[]): void {
    const target = top();
    // Records share one empty list and one empty dict until they get items of their own.
    if (isKind(target, 'record') && target.items === NO_ITEMS) target.items = [];
    const list: PickleValue = isKind(target, 'record') ? target.items : target;
    if (!Array.isArray(list) || Object.isFrozen(list))
      throw malformed(`${describeValue(target)} cannot be appended to`);
    for (const item of items) list.push(item);
  }

  function setItems(items: PickleValue[]): void {
    const target = top();
    if (isKind(target, 'record') && target.entries === NO_ENTRIES) target.entries = new Map();
    const map: PickleValue = isKind(target, 'record') ? target.entries : target;
    if (!(map instanceof Map)) throw malformed(`${describeValue(target)} has no entries to set`);
    if (items.length % 2 !== 0) throw malformed('a key has no value');
    for (let i = 0; i < items.length; i += 2) map.set(hashable(items[i] as PickleValue), items[i + 1] as PickleValue);
  }

  function addItems(items: PickleValue[]): void {
    const target = top();
    if (!(target instanceof Set)) throw malformed(`${describeValue(target)} is no set`);
    for (const item of items) target.add(hashable(item));
  }

  function hashable(value: PickleValue): PickleValue {
    if (value instanceof Map || (Array.isArray(value) && !isTuple(value)))
      throw malformed(`${describeValue(value)} cannot be a key`);
    return value;
  }

  /** An object's state; that of plain data (`OrderedDict._metadata`, attributes of a tensor) is dropped. */
  function build(state: PickleValue): void {
    const target = top();
    if (isKind(target, 'record')) {
      if (target.state instanceof Map) context.spend(ENTRY_BYTES * target.state.size);
      target.state = mergeState(target.state, state);
    } else if (!(target instanceof Map) && !isKind(target, 'tensor'))
      throw malformed(`${describeValue(target)} takes no state`);
  }

  function persistent(id: PickleValue): void {
    if (!options.persistentLoad) throw refuse('CPT_PICKLE_OPCODE', 'a persistent id stands where no storage can be');
    pushNew(options.persistentLoad(id, refuse), RECORD_BYTES);
  }
}

function tuple(items: PickleValue[]): PickleValue[] {
  return Object.freeze(items) as PickleValue[];
}

/** A second BUILD updates the attributes that a first one set, as in Python. */
function mergeState(before: PickleValue | undefined, state: PickleValue): PickleValue {
  if (!(before instanceof Map) || !(state instanceof Map)) return state;
  const merged: PickleMap = new Map(before);
  for (const [key, value] of state) merged.set(key, value);
  return merged;
}

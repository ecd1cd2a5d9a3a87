/**
 * How the argument of an opcode is read: a number of 1 to 8 bytes, two lines, or bytes, text (UTF-8), a `string` of Python 2
 * (one character a byte) or an integer after a length of 1, 4 or 8 bytes. `string4` and `long4` have a signed length.
 */
export type ArgumentKind =
  | ('uint1' | 'uint2' | 'uint4' | 'uint8' | 'int4' | 'float8')
  | ('bytes1' | 'bytes4' | 'bytes8' | 'text1' | 'text4' | 'text8')
  | ('string1' | 'string4' | 'long1' | 'long4' | 'lines');

export interface Opcode {
  readonly name: string;
  readonly argument?: ArgumentKind;
  /** Known and never accepted; the reason is for the message. */
  readonly refused?: string;
}

const TEXT = 'a text opcode of protocol 0, which torch never writes';
const REGISTRY = 'it fetches a class from a registry of the reading program';
const CALLS = 'it calls a class the old way, which torch never writes';
const OUT_OF_BAND = 'it takes data from outside the pickle';

/** Every opcode of protocols 0 to 5 by its byte (CPython Lib/pickletools.py). */
export const OPCODES: ReadonlyMap<number, Opcode> = new Map<number, Opcode>([
  [0x28, { name: 'MARK' }],
  [0x29, { name: 'EMPTY_TUPLE' }],
  [0x2e, { name: 'STOP' }],
  [0x30, { name: 'POP' }],
  [0x31, { name: 'POP_MARK' }],
  [0x32, { name: 'DUP' }],
  [0x42, { name: 'BINBYTES', argument: 'bytes4' }],
  [0x43, { name: 'SHORT_BINBYTES', argument: 'bytes1' }],
  [0x46, { name: 'FLOAT', refused: TEXT }],
  [0x47, { name: 'BINFLOAT', argument: 'float8' }],
  [0x49, { name: 'INT', refused: TEXT }],
  [0x4a, { name: 'BININT', argument: 'int4' }],
  [0x4b, { name: 'BININT1', argument: 'uint1' }],
  [0x4c, { name: 'LONG', refused: TEXT }],
  [0x4d, { name: 'BININT2', argument: 'uint2' }],
  [0x4e, { name: 'NONE' }],
  [0x50, { name: 'PERSID', refused: TEXT }],
  [0x51, { name: 'BINPERSID' }],
  [0x52, { name: 'REDUCE' }],
  [0x53, { name: 'STRING', refused: TEXT }],
  [0x54, { name: 'BINSTRING', argument: 'string4' }],
  [0x55, { name: 'SHORT_BINSTRING', argument: 'string1' }],
  [0x56, { name: 'UNICODE', refused: TEXT }],
  [0x58, { name: 'BINUNICODE', argument: 'text4' }],
  [0x5d, { name: 'EMPTY_LIST' }],
  [0x61, { name: 'APPEND' }],
  [0x62, { name: 'BUILD' }],
  [0x63, { name: 'GLOBAL', argument: 'lines' }],
  [0x64, { name: 'DICT' }],
  [0x65, { name: 'APPENDS' }],
  [0x67, { name: 'GET', refused: TEXT }],
  [0x68, { name: 'BINGET', argument: 'uint1' }],
  [0x69, { name: 'INST', refused: CALLS }],
  [0x6a, { name: 'LONG_BINGET', argument: 'uint4' }],
  [0x6c, { name: 'LIST' }],
  [0x6f, { name: 'OBJ', refused: CALLS }],
  [0x70, { name: 'PUT', refused: TEXT }],
  [0x71, { name: 'BINPUT', argument: 'uint1' }],
  [0x72, { name: 'LONG_BINPUT', argument: 'uint4' }],
  [0x73, { name: 'SETITEM' }],
  [0x74, { name: 'TUPLE' }],
  [0x75, { name: 'SETITEMS' }],
  [0x7d, { name: 'EMPTY_DICT' }],
  [0x80, { name: 'PROTO', argument: 'uint1' }],
  [0x81, { name: 'NEWOBJ' }],
  [0x82, { name: 'EXT1', refused: REGISTRY }],
  [0x83, { name: 'EXT2', refused: REGISTRY }],
  [0x84, { name: 'EXT4', refused: REGISTRY }],
  [0x85, { name: 'TUPLE1' }],
  [0x86, { name: 'TUPLE2' }],
  [0x87, { name: 'TUPLE3' }],
  [0x88, { name: 'NEWTRUE' }],
  [0x89, { name: 'NEWFALSE' }],
  [0x8a, { name: 'LONG1', argument: 'long1' }],
  [0x8b, { name: 'LONG4', argument: 'long4' }],
  [0x8c, { name: 'SHORT_BINUNICODE', argument: 'text1' }],
  [0x8d, { name: 'BINUNICODE8', argument: 'text8' }],
  [0x8e, { name: 'BINBYTES8', argument: 'bytes8' }],
  [0x8f, { name: 'EMPTY_SET' }],
  [0x90, { name: 'ADDITEMS' }],
  [0x91, { name: 'FROZENSET' }],
  [0x92, { name: 'NEWOBJ_EX' }],
  [0x93, { name: 'STACK_GLOBAL' }],
  [0x94, { name: 'MEMOIZE' }],
  [0x95, { name: 'FRAME', argument: 'uint8' }],
  [0x96, { name: 'BYTEARRAY8', argument: 'bytes8' }],
  [0x97, { name: 'NEXT_BUFFER', refused: OUT_OF_BAND }],
  [0x98, { name: 'READONLY_BUFFER', refused: OUT_OF_BAND }],
]);

import { FormatError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { fixtureJson, parseExpected, toExpected } from '../test/expected-values.ts';
import { global, int, join, MARK, op, proto, REDUCE, repeat, STOP, text, u32, u64 } from '../test/pickle-bytes.ts';
import { LIST_BYTES } from './call-context.ts';
import { walkGraph } from './pickle-graph.ts';
import type { PickleRecord, PickleValue } from './pickle-values.ts';
import { PICKLE_LIMITS, type PickleLimits, unpickle } from './unpickle.ts';

const read = (...parts: Parameters<typeof join>): PickleValue => {
  const value = unpickle(join(...parts), 'data.pkl');
  walkGraph(value, 'data.pkl');
  return value;
};

const refusal = (...parts: Parameters<typeof join>): FormatError => refusalWith({}, ...parts);

function refusalWith(limits: Partial<PickleLimits>, ...parts: Parameters<typeof join>): FormatError {
  try {
    walkGraph(unpickle(join(...parts), 'data.pkl', { limits }), 'data.pkl');
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error('the pickle was accepted');
}

interface Pickle {
  readonly protocol: number;
  readonly base64: string;
  readonly value: unknown;
}
const pickles: Pickle[] = fixtureJson('pickles.json');
const bytesOf = (pickle: Pickle) => new Uint8Array(Buffer.from(pickle.base64, 'base64'));

describe('what CPython pickled', () => {
  it.each(pickles)('is read in protocol $protocol', (pickle) => {
    const value = read(bytesOf(pickle));
    expect(toExpected(value, () => undefined)).toEqual(parseExpected(pickle.value));
    const shared = (value as Map<PickleValue, PickleValue>).get('shared') as PickleValue[];
    expect(shared[0]).toBe(shared[1]);
  });

  it.each(pickles)('row 6: is refused when it is cut anywhere, in protocol $protocol', (pickle) => {
    const bytes = bytesOf(pickle);
    for (let length = 0; length < bytes.byteLength; length++) {
      if (length === 1500) length = bytes.byteLength - 200; // past 2500 small numbers
      expect(refusal(bytes.subarray(0, length)).code, `${length}`).toMatch(/^CPT_PICKLE_(TRUNCATED|FRAME)$/);
    }
  });

  it.each(pickles)('stays inside our errors when any byte is changed, in protocol $protocol', (pickle) => {
    for (let at = 0; at < 1500; at += 17) {
      for (const change of [0x01, 0x80, 0xff]) {
        const bytes = bytesOf(pickle);
        bytes[at] = (bytes[at] as number) ^ change;
        try {
          read(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }
    }
  });
});

describe('the machine', () => {
  it('lets a value be changed after it was memoised', () => {
    const list = [
      op('EMPTY_LIST'),
      op('BINPUT', 0),
      op('POP'),
      op('BINGET', 0),
      int(7),
      op('APPEND'),
      op('POP'),
      op('BINGET', 0),
    ];
    expect(read(proto(2), ...list, STOP)).toEqual([7]);
    const ordered = [global('collections', 'OrderedDict'), op('EMPTY_TUPLE'), REDUCE, op('BINPUT', 1)];
    const later = [op('POP'), op('BINGET', 1), text('k'), int(1), op('SETITEM'), op('EMPTY_DICT'), op('BUILD')];
    expect(read(proto(2), ...ordered, ...later, STOP)).toEqual(new Map([['k', 1]]));
    const record = [
      global('lib', 'Table'),
      op('EMPTY_TUPLE'),
      op('NEWOBJ'),
      op('BINPUT', 2),
      text('k'),
      int(1),
      op('SETITEM'),
    ];
    const grown = [
      int(5),
      op('APPEND'),
      op('POP'),
      op('BINGET', 2),
      op('EMPTY_DICT'),
      text('a'),
      int(9),
      op('SETITEM'),
    ];
    expect(read(proto(2), ...record, ...grown, op('BUILD'), STOP)).toEqual({
      kind: 'record',
      global: 'lib Table',
      args: [],
      state: new Map([['a', 9]]),
      items: [5],
      entries: new Map([['k', 1]]),
    });
  });

  it('row 12: keeps what objects have by nature as data', () => {
    const entries = ['__proto__', 'constructor', 'toString'].flatMap((key) => [text(key), int(1), op('SETITEM')]);
    const map = read(proto(2), op('EMPTY_DICT'), ...entries, STOP) as Map<string, number>;
    expect([...map.keys()]).toEqual(['__proto__', 'constructor', 'toString']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('knows a big integer, and a small one in a long coat', () => {
    expect(read(op('LONG1', 9, new Uint8Array(8), 1), STOP)).toBe(2n ** 64n);
    expect(read(op('LONG1', 9, repeat(Uint8Array.of(0xff), 9)), STOP)).toBe(-1);
    expect(read(op('LONG1', 0), STOP)).toBe(0);
  });

  it('takes a record or a tuple as a key, and refuses a list', () => {
    const dict = (...key: Uint8Array[]) => read(proto(2), op('EMPTY_DICT'), ...key, int(1), op('SETITEM'), STOP);
    expect((dict(global('lib', 'Key'), op('EMPTY_TUPLE'), REDUCE) as Map<unknown, unknown>).size).toBe(1);
    expect((dict(int(1), op('TUPLE1')) as Map<unknown, unknown>).size).toBe(1);
    expect(refusal(op('EMPTY_DICT'), op('EMPTY_LIST'), int(1), op('SETITEM'), STOP).message).toContain(
      'cannot be a key',
    );
  });

  it('says the file, the opcode and the byte', () => {
    const message = refusal(proto(2), int(1), int(2), op('APPEND'), STOP).message;
    expect(message).toBe('data.pkl: APPEND at byte 6: 1 cannot be appended to');
  });
});

describe('what is refused', () => {
  const malformed: [string, string, Uint8Array[]][] = [
    ['an empty stack', 'the stack is empty', [STOP]],
    ['a copy of nothing', 'the stack is empty', [op('DUP'), STOP]],
    ['a memo of nothing', 'the stack is empty', [op('BINPUT', 0), op('NONE'), STOP]],
    ['a tuple of more than there is', 'the stack is empty', [int(1), op('TUPLE2'), STOP]],
    ['values left on the stack', 'values are left', [int(1), int(2), STOP]],
    ['a mark left open', 'values are left', [MARK, int(1), STOP]],
    ['no mark to come back to', 'there is no mark', [op('TUPLE'), STOP]],
    ['a memo entry that is not set', 'memo 9 is not set', [op('BINGET', 9), STOP]],
    ['a key without a value', 'a key has no value', [op('EMPTY_DICT'), MARK, int(1), op('SETITEMS'), STOP]],
    ['entries of a number', '1 has no entries', [int(1), int(2), int(3), op('SETITEM'), STOP]],
    ['an item for a tuple', 'a tuple of 0 cannot be appended to', [op('EMPTY_TUPLE'), int(1), op('APPEND'), STOP]],
    ['an item for a set that is none', 'is no set', [op('EMPTY_LIST'), MARK, int(1), op('ADDITEMS'), STOP]],
    ['a call of a number', '1 is called', [int(1), op('EMPTY_TUPLE'), REDUCE, STOP]],
    [
      'a call of what a call gave',
      'an instance of lib f is called',
      [global('lib', 'f'), op('EMPTY_TUPLE'), REDUCE, op('EMPTY_TUPLE'), REDUCE, STOP],
    ],
    ['a call with a list', 'a tuple is needed', [global('lib', 'f'), op('EMPTY_LIST'), REDUCE, STOP]],
    [
      'keywords that are none',
      'keywords are 1',
      [global('lib', 'C'), op('EMPTY_TUPLE'), int(1), op('NEWOBJ_EX'), STOP],
    ],
    ['a state for a number', '1 takes no state', [int(1), op('EMPTY_DICT'), op('BUILD'), STOP]],
    ['a global of two numbers', 'not 1 and 2', [int(1), int(2), op('STACK_GLOBAL'), STOP]],
    ['text that is no UTF-8', 'not valid UTF-8', [op('BINUNICODE', u32(1), 0xff), STOP]],
    ['a protocol of the future', 'protocol 6 is not known', [proto(6), op('NONE'), STOP]],
    ['a protocol in the middle', 'in the middle', [proto(2), proto(2), op('NONE'), STOP]],
  ];
  it.each(malformed)('%s', (_, message, parts) => {
    const error = refusal(...parts);
    expect(error.code).toBe('CPT_PICKLE_MALFORMED');
    expect(error.message).toContain(message);
  });

  const opcodes: [string, Uint8Array[]][] = [
    ['EXT1', [op('EXT1', 1)]],
    ['EXT2', [op('EXT2', 1, 0)]],
    ['EXT4', [op('EXT4', u32(1))]],
    ['INST', [MARK, op('INST', 'os\nsystem\n')]],
    ['OBJ', [MARK, global('lib', 'C'), op('OBJ')]],
    ['PERSID', [op('PERSID', 'x\n')]],
    ['BINPERSID', [text('x'), op('BINPERSID')]],
    ['NEXT_BUFFER', [op('NEXT_BUFFER')]],
    ['INT', [op('INT', '1\n')]],
    ['0xff', [Uint8Array.of(0xff)]],
    ['0x00', [Uint8Array.of(0)]],
  ];
  it.each(opcodes)('row 5: the opcode %s, by name and offset', (name, parts) => {
    const error = refusal(proto(2), ...parts, STOP);
    expect(error.code).toBe('CPT_PICKLE_OPCODE');
    expect(error.message).toMatch(/the opcode is refused: |is no opcode|no storage can be/);
    expect(error.message).toContain(`${name} at byte ${2 + join(...parts.slice(0, -1)).byteLength}`);
  });

  it('row 9: lengths that are negative, past 2^53, or past the file, before anything is made', () => {
    expect(refusal(op('BINSTRING', u32(0xffffffff)), STOP).code).toBe('CPT_PICKLE_LENGTH');
    expect(refusal(op('LONG4', u32(0x80000000)), STOP).code).toBe('CPT_PICKLE_LENGTH');
    for (const opcode of ['BINUNICODE8', 'BINBYTES8', 'BYTEARRAY8']) {
      expect(refusal(op(opcode, u64(2n ** 63n)), STOP).code).toBe('CPT_PICKLE_LENGTH');
      expect(refusal(op(opcode, u64(2n ** 40n)), STOP).code).toBe('CPT_PICKLE_TRUNCATED');
    }
    expect(refusal(op('BINUNICODE', u32(0xffffffff)), STOP).code).toBe('CPT_PICKLE_TRUNCATED');
    expect(refusal(op('LONG4', u32(2000)), new Uint8Array(2000), STOP).code).toBe('CPT_PICKLE_LIMIT');
    expect(refusal(op('GLOBAL', 'm'.repeat(5000), '\nname\n'), STOP).code).toBe('CPT_PICKLE_LIMIT');
    expect(refusal(op('GLOBAL', 'no newline'), STOP).code).toBe('CPT_PICKLE_TRUNCATED');
  });

  it('a second pickle, or anything, after the end', () => {
    expect(refusal(proto(2), op('NONE'), STOP, proto(2), op('NONE'), STOP).code).toBe('CPT_PICKLE_TRAILING_BYTES');
    expect(refusal(op('NONE'), STOP, 0).code).toBe('CPT_PICKLE_TRAILING_BYTES');
  });

  it('row 10: frames that lie', () => {
    const frame = (length: bigint) => op('FRAME', u64(length));
    expect(read(proto(4), frame(2n), op('NONE'), STOP)).toBeNull();
    expect(read(proto(4), frame(1n), op('NONE'), frame(1n), STOP)).toBeNull();
    const lies: [string, Uint8Array[]][] = [
      ['begins where 2 are left', [frame(100n), op('NONE'), STOP]],
      ['stops before the end of its frame', [frame(3n), op('NONE'), STOP, join(0)]],
      ['an argument passes the end of its frame', [frame(1n), int(1), STOP]],
      ['begins inside another one', [frame(20n), frame(11n), op('NONE'), new Uint8Array(10)]],
    ];
    for (const [message, parts] of lies) {
      const error = refusal(proto(4), ...parts);
      expect(error).toMatchObject({ code: 'CPT_PICKLE_FRAME', message: expect.stringContaining(message) });
    }
    expect(refusal(proto(4), frame(2n ** 63n), op('NONE'), STOP).code).toBe('CPT_PICKLE_LENGTH');
  });
});

describe('the limits', () => {
  it('row 7: hold against a billion laughs, by lists and by copies', () => {
    // l0 = [1]; l1 = [l0, l0, …]; each level ten times as many: 10^30 values in 30 short lists.
    const levels = Array.from({ length: 30 }, (_, i) => [
      ...[op('EMPTY_LIST'), op('BINPUT', i + 1), MARK],
      repeat(op('BINGET', i), 10),
      op('APPENDS'),
    ]).flat();
    const laughs = [op('EMPTY_LIST'), op('BINPUT', 0), ...levels];
    expect(refusal(MARK, ...laughs, op('LIST'), STOP).code).toBe('CPT_PICKLE_LIMIT');

    const list = [op('EMPTY_LIST'), MARK, repeat(int(1), 100_000), op('APPENDS'), op('BINPUT', 0), op('POP')];
    const copy = join(global('builtins', 'set'), op('BINGET', 0), op('TUPLE1'), REDUCE);
    expect(refusal(MARK, ...list, repeat(copy, 10_000), op('LIST'), STOP).message).toContain('bytes of memory');

    const state = [op('EMPTY_DICT'), op('BINPUT', 0), MARK];
    const entries = Array.from({ length: 10_000 }, (_, i) => join(op('BININT2', i & 0xff, i >> 8), op('NONE')));
    const build = join(op('BINGET', 0), op('BUILD'));
    const record = [global('lib', 'C'), op('EMPTY_TUPLE'), op('NEWOBJ'), repeat(build, 1000), STOP];
    expect(refusal(...state, ...entries, op('SETITEMS'), op('POP'), ...record).message).toContain('bytes of memory');
  });

  it('row 8: hold against nesting, by marks and without, and against a value in itself', () => {
    expect(refusal(repeat(MARK, 100_000), STOP).code).toBe('CPT_PICKLE_LIMIT');
    const deep = [repeat(op('EMPTY_LIST'), 100_000), repeat(op('APPEND'), 99_999), STOP];
    expect(refusal(...deep).code).toBe('CPT_PICKLE_LIMIT');
    const tuples = [op('NONE'), repeat(op('TUPLE1'), 100_000), STOP];
    expect(refusal(...tuples).code).toBe('CPT_PICKLE_LIMIT');
    const cycle = [op('EMPTY_LIST'), op('BINPUT', 0), op('BINGET', 0), op('APPEND'), STOP];
    expect(refusal(...cycle).message).toContain('contains itself');
    const state = [global('lib', 'C'), op('EMPTY_TUPLE'), op('NEWOBJ'), op('BINPUT', 0), op('EMPTY_DICT'), text('me')];
    expect(refusal(...state, op('BINGET', 0), op('SETITEM'), op('BUILD'), STOP).message).toContain('contains itself');
  });

  it('are these, unless others are asked for', () => {
    expect(PICKLE_LIMITS).toEqual({
      operations: 16_000_000,
      stackValues: 1_000_000,
      marks: 1_000,
      memoEntries: 2_000_000,
      memoryBytes: 402_653_184,
    });
    expect(refusal(repeat(op('NONE'), 1_000_001), STOP).message).toContain('more than 1000000 values on the stack');
    expect(refusal(repeat(MARK, 1001), STOP).message).toContain('nested more than 1000 deep');
  });

  it('hold against a stack without end, across marks too', () => {
    const limits = { stackValues: 1000 };
    expect(refusalWith(limits, repeat(op('NONE'), 1001), STOP).message).toContain('more than 1000 values on the stack');
    const rounds = repeat(join(MARK, repeat(op('NONE'), 99)), 20);
    expect(refusalWith(limits, rounds, STOP).message).toContain('values on the stack');
    expect(refusalWith(limits, repeat(op('NONE'), 1000), STOP).code).toBe('CPT_PICKLE_MALFORMED');
  });

  it('hold against work without end, a memo without end, and one huge string', () => {
    const work = repeat(join(op('NONE'), op('POP')), 500);
    expect(refusalWith({ operations: 1000 }, work, op('NONE'), STOP).message).toContain('more than 1000 operations');
    const memo = repeat(op('MEMOIZE'), 1001);
    expect(refusalWith({ memoEntries: 1000 }, op('NONE'), memo, STOP).message).toContain('more than 1000 memo entries');
    const length = 65 * 2 ** 20;
    expect(refusal(op('BINBYTES', u32(length)), new Uint8Array(length), STOP).message).toContain(
      `a value of ${length} bytes`,
    );
  });

  it.each([
    ['lists', op('EMPTY_LIST')],
    ['dicts', op('EMPTY_DICT')],
    ['sets', op('EMPTY_SET')],
    ['tuples', join(op('NONE'), op('TUPLE1'))],
    ['records', join(op('BINGET', 0), op('EMPTY_TUPLE'), REDUCE)],
  ])('hold against %s without end', (_, value) => {
    const bytes = repeat(join(value, op('APPEND')), 10_000);
    const start = [global('lib', 'C'), op('BINPUT', 0), op('POP'), op('EMPTY_LIST')];
    const error = refusalWith({ memoryBytes: 1e6 }, ...start, bytes, STOP);
    expect(error.message).toContain('more than 1000000 bytes of memory');
    // Each takes LIST_BYTES or more by our count, so the machine stopped before this many of them.
    const most = 1e6 / LIST_BYTES + 1;
    expect(error.details.byteOffset).toBeLessThan(join(...start).byteLength + most * (value.byteLength + 1));
  });

  it('leave records apart that share their emptiness', () => {
    const make = join(global('lib', 'C'), op('EMPTY_TUPLE'), REDUCE);
    const [a, b] = read(
      MARK,
      make,
      int(1),
      op('APPEND'),
      text('k'),
      int(2),
      op('SETITEM'),
      make,
      op('LIST'),
      STOP,
    ) as PickleRecord[];
    expect(a).toMatchObject({ items: [1], entries: new Map([['k', 2]]) });
    expect(b).toMatchObject({ items: [], entries: new Map() });
  });

  it('leave room for a checkpoint of 50,000 tensors', () => {
    const call = join(global('lib', 'rebuild'), MARK, text('storage'), int(1), int(2), op('TUPLE'), REDUCE);
    const value = read(proto(2), MARK, repeat(call, 50_000), op('LIST'), STOP) as PickleValue[];
    expect(value).toHaveLength(50_000);
    // 350,000 operations, a fortieth of what is allowed.
    expect(50_000 * 7 * 40).toBeLessThan(PICKLE_LIMITS.operations);
  });
});

import { FormatError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { global, int, join, op, proto, REDUCE, STOP, text, u32 } from '../test/pickle-bytes.ts';
import { PYTHON_MODULES } from './python-modules.ts';
import { unpickle } from './unpickle.ts';

const read = (...parts: Parameters<typeof join>) => unpickle(join(...parts), 'data.pkl');

function refusal(...parts: Parameters<typeof join>): FormatError {
  try {
    read(...parts);
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error('the pickle was accepted');
}

const call = (module: string, name: string, ...args: Uint8Array[]) =>
  join(global(module, name), op('MARK'), ...args, op('TUPLE'), REDUCE);

describe('what only an attack names', () => {
  const COMMAND = text('touch canary');
  const attacks: [string, Uint8Array[]][] = [
    ['os.system', [proto(2), call('os', 'system', COMMAND), STOP]],
    ['posix.system', [proto(2), call('posix', 'system', COMMAND), STOP]],
    ['nt.system', [call('nt', 'system', COMMAND), STOP]],
    ['subprocess.Popen', [call('subprocess', 'Popen', COMMAND), STOP]],
    ['builtins.eval', [call('builtins', 'eval', COMMAND), STOP]],
    ['__builtin__.exec', [call('__builtin__', 'exec', COMMAND), STOP]],
    ['__builtins__.eval', [call('__builtins__', 'eval', COMMAND), STOP]],
    ['builtins.__import__', [call('builtins', '__import__', text('os')), STOP]],
    ['builtins.open', [call('builtins', 'open', text('/etc/passwd')), STOP]],
    ['io.open', [call('io', 'open', text('/etc/passwd')), STOP]],
    ['_io.FileIO', [call('_io', 'FileIO', text('/etc/passwd')), STOP]],
    ['types.FunctionType', [call('types', 'FunctionType', COMMAND), STOP]],
    ['types.CodeType', [call('types', 'CodeType', COMMAND), STOP]],
    ['signal.raise_signal', [call('signal', 'raise_signal', int(9)), STOP]],
    ['pathlib.os.system', [call('pathlib', 'os.system', COMMAND), STOP]],
    ['collections._sys.exit', [call('collections', '_sys.exit', COMMAND), STOP]],
    ['importlib.import_module', [call('importlib', 'import_module', text('os')), STOP]],
    ['runpy._run_code', [call('runpy', '_run_code', COMMAND), STOP]],
    ['pty.spawn', [call('pty', 'spawn', COMMAND), STOP]],
    ['socket.socket', [call('socket', 'socket'), STOP]],
    ['sys.exit', [call('sys', 'exit'), STOP]],
    ['timeit.timeit', [call('timeit', 'timeit', COMMAND), STOP]],
    ['commands.getoutput', [call('commands', 'getoutput', COMMAND), STOP]],
    ['operator.attrgetter', [call('operator', 'attrgetter', text('system')), STOP]],
    ['functools.partial', [call('functools', 'partial', COMMAND), STOP]],
    ['pip._internal.main', [call('pip._internal', 'main', COMMAND), STOP]],
    [
      'asyncio.unix_events._UnixSubprocessTransport._start',
      [call('asyncio.unix_events', '_UnixSubprocessTransport._start'), STOP],
    ],
    ['torch.serialization.os.system', [call('torch.serialization', 'os.system', COMMAND), STOP]],
    ['somelib.util.subprocess.run', [call('somelib.util', 'subprocess.run', COMMAND), STOP]],
    ['numpy.__builtins__', [global('numpy', '__builtins__'), STOP]],
    ['numpy.__builtins__.eval', [call('numpy', '__builtins__.eval', COMMAND), STOP]],
    ['somelib.__class__.__base__', [global('somelib', '__class__.__base__'), STOP]],
    ['torch.utils.bottleneck.__main__.run', [call('torch.utils.bottleneck.__main__', 'run', COMMAND), STOP]],
    ['torch.load', [call('torch', 'load', COMMAND), STOP]],
    ['torch.hub.load', [call('torch.hub', 'load', COMMAND), STOP]],
    ['torch.storage._load_from_bytes', [call('torch.storage', '_load_from_bytes', COMMAND), STOP]],
    [
      'torch.jit.unsupported_tensor_ops.execWrapper',
      [call('torch.jit.unsupported_tensor_ops', 'execWrapper', COMMAND), STOP],
    ],
    ['torch._dynamo.guards.GuardBuilder.get', [call('torch._dynamo.guards', 'GuardBuilder.get', COMMAND), STOP]],
    ['numpy.f2py.crackfortran.getlincoef', [call('numpy.f2py.crackfortran', 'getlincoef', COMMAND), STOP]],
    ['numpy.testing._private.utils.runstring', [call('numpy.testing._private.utils', 'runstring', COMMAND), STOP]],
    ['getattr of a lambda', [call('builtins', 'getattr', global('somelib', 'x'), text('__globals__')), STOP]],
    ['getattr of a value', [call('builtins', 'getattr', int(1), text('real')), STOP]],
    ['_reconstructor of a value', [call('copyreg', '_reconstructor', int(1), int(1), op('NONE')), STOP]],
    ['six.moves.builtins.eval', [call('six.moves.builtins', 'eval', COMMAND), STOP]],
    ['no module', [global('', 'system'), STOP]],
    ['a name with a space', [proto(4), text('torch._utils'), text('_rebuild_tensor os'), op('STACK_GLOBAL'), STOP]],
    ['a module that is empty at its end', [global('lib.', 'system'), STOP]],
  ];
  it.each(attacks)('rows 1, 2: refuses %s', (name, parts) => {
    const error = refusal(...parts);
    expect(error.code).toBe('CPT_PICKLE_FORBIDDEN_GLOBAL');
    if (/^[\w.]+$/.test(name)) expect(error.message).toContain(name);
  });

  it('refuses it when it is only named, not called', () => {
    expect(refusal(proto(2), global('os', 'system'), op('POP'), op('NONE'), STOP).code).toBe(
      'CPT_PICKLE_FORBIDDEN_GLOBAL',
    );
  });

  it('row 3: sees through names put together on the stack, from the memo, and over decoys', () => {
    const decoy = [text('collections'), op('BINPUT', 0), op('POP'), text('OrderedDict'), op('BINPUT', 1), op('POP')];
    const real = [text('os'), op('BINPUT', 0), op('POP'), text('system'), op('BINPUT', 1), op('POP')];
    const parts = [proto(4), ...decoy, ...real, op('BINGET', 0), op('BINGET', 1), op('STACK_GLOBAL'), STOP];
    expect(refusal(...parts).message).toContain('it names os.system');
    const memoised = [
      proto(4),
      op('SHORT_BINUNICODE', 2, 'os'),
      op('MEMOIZE'),
      op('POP'),
      text('x'),
      op('MEMOIZE'),
      op('POP'),
    ];
    const late = [...memoised, op('BINGET', 0), text('system'), op('STACK_GLOBAL'), STOP];
    expect(refusal(...late).message).toContain('it names os.system');
  });

  it('knows the modules of Python', () => {
    for (const name of [
      'os',
      'posix',
      'nt',
      'sys',
      'subprocess',
      'builtins',
      '__builtin__',
      'importlib',
      'runpy',
      'pty',
    ]) {
      expect(PYTHON_MODULES.has(name), name).toBe(true);
    }
    expect(PYTHON_MODULES.has('torch')).toBe(false);
    expect(PYTHON_MODULES.size).toBeGreaterThan(305);
  });
});

describe('what is data', () => {
  it('keeps an instance of a class of any package, even if it is named like a module of Python', () => {
    expect(read(call('megatron.core.enums', 'ModelType', int(1)), STOP)).toMatchObject({
      kind: 'record',
      global: 'megatron.core.enums ModelType',
      args: [1],
    });
    expect(read(global('somelib', 'signal'), STOP)).toEqual({ kind: 'global', global: 'somelib signal' });
    expect(read(global('__main__', 'Args'), STOP)).toEqual({ kind: 'global', global: '__main__ Args' });
    expect(read(global('torch.nn.functional', 'silu'), STOP)).toEqual({
      kind: 'global',
      global: 'torch.nn.functional silu',
    });
  });

  it('reads an enum member as some releases of Python 3.11 wrote it, and an instance as protocol 0 did', () => {
    expect(read(call('builtins', 'getattr', global('lib', 'Color'), text('RED')), STOP)).toMatchObject({
      global: 'lib Color',
      args: ['RED'],
    });
    const instance = call(
      'copy_reg',
      '_reconstructor',
      global('lib', 'C'),
      global('__builtin__', 'object'),
      op('NONE'),
    );
    expect(read(instance, op('EMPTY_DICT'), op('BUILD'), STOP)).toMatchObject({ global: 'lib C', state: new Map() });
  });

  it('builds the plain types', () => {
    const list = join(op('MARK'), int(1), int(2), op('LIST'));
    const pairs = join(op('MARK'), text('a'), int(1), op('TUPLE2'), op('LIST'));
    expect(read(call('__builtin__', 'set', list), STOP)).toEqual(new Set([1, 2]));
    expect(read(call('builtins', 'tuple', list), STOP)).toEqual([1, 2]);
    expect(read(call('collections', 'OrderedDict', pairs), STOP)).toEqual(new Map([['a', 1]]));
    expect(read(call('collections', 'deque', list, int(5)), STOP)).toEqual([1, 2]);
    expect(read(call('_codecs', 'encode', text('ÿ\u0000'), text('latin1')), STOP)).toEqual(Uint8Array.of(255, 0));
    expect(read(call('builtins', 'bytearray', text('é'), text('latin-1')), STOP)).toEqual(Uint8Array.of(233));
    expect(read(call('torch', 'device', text('cuda'), int(3)), STOP)).toEqual({ kind: 'device', device: 'cuda:3' });
    expect(read(call('torch', 'Size', list), STOP)).toEqual([1, 2]);
    expect(refusal(call('_codecs', 'encode', text('文'), text('latin1')), STOP).code).toBe('CPT_PICKLE_MALFORMED');
    // Another encoding would give other bytes; the call is kept as it stands.
    expect(read(call('_codecs', 'encode', text('x'), text('rot13')), STOP)).toMatchObject({ global: '_codecs encode' });
  });

  it('does not let one call of a known type take gigabytes', () => {
    expect(read(call('builtins', 'bytearray', op('BININT', u32(0x7fffffff))), STOP)).toMatchObject({ kind: 'record' });
    expect(read(call('builtins', 'range', op('BININT', u32(0x7fffffff))), STOP)).toMatchObject({ kind: 'record' });
  });
});

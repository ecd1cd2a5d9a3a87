import { bytesSource } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { fixtureBytes } from '../test/expected-values.ts';
import { global, int, join, op, proto, REDUCE, STOP, text } from '../test/pickle-bytes.ts';
import { zipOf } from '../test/zip-bytes.ts';
import { auditPickle, auditTorchFile } from './pickle-audit.ts';

const call = (module: string, name: string, ...args: Uint8Array[]) =>
  join(global(module, name), op('MARK'), ...args, op('TUPLE'), REDUCE);

/** os.system twice, a class of a package, a dict of Python, an eval; what is left is a number. */
const MIXED = join(
  proto(2),
  ...[call('os', 'system', text('touch canary')), call('os', 'system', text('touch canary'))],
  ...[call('lib.enums', 'Color', int(1)), call('collections', 'OrderedDict'), global('builtins', 'eval')],
  ...[op('POP'), op('POP'), op('POP'), op('POP'), op('POP'), int(7), STOP],
);

describe('auditPickle', () => {
  it('goes on after the name of an attack, and says of each name what it builds', async () => {
    const { globals, problem } = await auditPickle(bytesSource(MIXED), 'data.pkl');
    expect(problem).toBeUndefined();
    expect(globals.map(({ name, count, builds }) => [name, count, builds])).toEqual([
      ['os.system', 2, 'refused'],
      ['lib.enums.Color', 1, 'inert record'],
      ['collections.OrderedDict', 1, 'plain data'],
      ['builtins.eval', 1, 'refused'],
    ]);
    expect(globals[0]?.why).toContain("it is of Python's own library and no data type");
  });

  it('counts a global that is called from the memo', async () => {
    const again = [op('BINGET', 0), op('EMPTY_TUPLE'), REDUCE];
    const bytes = join(proto(2), global('lib', 'C'), op('BINPUT', 0), op('POP'), ...again, ...again, op('POP'), STOP);
    expect((await auditPickle(bytesSource(bytes), 'a')).globals).toMatchObject([{ name: 'lib.C', count: 2 }]);
  });

  it('judges a call, not only a name', async () => {
    const bytes = join(proto(2), call('torch.hub', 'load', text('x')), STOP);
    expect((await auditPickle(bytesSource(bytes), 'a')).globals).toMatchObject([
      { name: 'torch.hub.load', builds: 'refused' },
    ]);
    const named = join(proto(2), global('torch.nn.functional', 'silu'), STOP);
    expect((await auditPickle(bytesSource(named), 'a')).globals).toMatchObject([{ builds: 'inert record' }]);
  });

  it('tells what came before a pickle breaks', async () => {
    const { globals, problem } = await auditPickle(bytesSource(join(MIXED, 'N.')), 'data.pkl');
    expect(globals).toHaveLength(4);
    expect(problem).toContain('2 bytes follow the end of the pickle');
    const cut = await auditPickle(bytesSource(MIXED.subarray(0, 40)), 'data.pkl');
    expect(cut.globals).toMatchObject([{ name: 'os.system', builds: 'refused' }]);
    expect(cut.problem).toContain('CPT_PICKLE_TRUNCATED');
  });
});

describe('auditTorchFile', () => {
  it('reads the one pickle of a zip and none of its tensors', async () => {
    const audited = await auditTorchFile(bytesSource(fixtureBytes('tensors.pt')), 'tensors.pt');
    expect(audited).toHaveLength(1);
    const kinds = new Map(audited[0]?.globals.map(({ name, builds }) => [name, builds]));
    expect(kinds.get('torch._utils._rebuild_tensor_v2')).toBe('tensor data');
    expect(kinds.get('torch.FloatStorage')).toBe('tensor data');
    expect([...kinds.values()]).not.toContain('refused');
  });

  it('reads each of several pickles, also those that no reader would open', async () => {
    const zip = zipOf([
      { name: 'a/data.pkl', data: join(proto(2), op('NONE'), STOP) },
      { name: 'a/hidden.pkl', data: MIXED },
    ]);
    const audited = await auditTorchFile(bytesSource(zip), 'a.pt');
    expect(audited.map(({ entry }) => entry)).toEqual(['a/data.pkl', 'a/hidden.pkl']);
    expect(audited[1]?.globals[0]).toMatchObject({ name: 'os.system', builds: 'refused' });
  });

  it('reads the pickles of the form of before torch 1.6', async () => {
    const [audited] = await auditTorchFile(bytesSource(fixtureBytes('legacy.pt')), 'legacy.pt');
    expect(audited?.problem).toBeUndefined();
    expect(audited?.globals.map(({ name }) => name)).toContain('torch._utils._rebuild_tensor_v2');
    const magic = [proto(2), op('LONG1', 10, Buffer.from('6cfc9c46f9206aa85019', 'hex')), STOP];
    const protocol = [proto(2), op('BININT2', 0xe9, 0x03), STOP];
    const system = [proto(2), op('EMPTY_DICT'), text('little_endian'), op('NEWTRUE'), op('SETITEM'), STOP];
    const bytes = join(...magic, ...protocol, ...system, MIXED);
    const [attacked] = await auditTorchFile(bytesSource(bytes), 'attacked.pt');
    expect(attacked?.globals).toMatchObject([{ name: 'os.system', builds: 'refused' }, {}, {}, {}]);
    expect(attacked?.problem).toBeDefined();
  });

  it('does not read what is no torch file', async () => {
    await expect(auditTorchFile(bytesSource(new Uint8Array(64)), 'x.pt')).rejects.toThrow('x.pt');
  });
});

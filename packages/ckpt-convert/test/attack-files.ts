import { crc32 } from 'node:zlib';

/** Pickles and torch files as an attacker makes them, byte by byte; what they name would only touch a file called `canary`. */
export const ATTACK = 'touch canary';

/** A call of `module.name(text)`, left on the stack. */
export function callOf(module: string, name: string, argument = ATTACK): Buffer {
  const text = Buffer.from(argument);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.byteLength);
  return Buffer.concat([Buffer.from(`c${module}\n${name}\n(X`), length, text, Buffer.from('tR')]);
}

/** A pickle of protocol 2 with these opcodes. */
export const pickleOf = (...opcodes: (Buffer | string)[]): Buffer =>
  Buffer.concat([Buffer.from([0x80, 2]), ...opcodes.map((part) => Buffer.from(part as string)), Buffer.from('.')]);

/** A dict whose entry `args` is the value that `opcodes` leave. */
export const argsOf = (opcodes: Buffer): Buffer => pickleOf('}', textOf('args'), opcodes, 's');

function textOf(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.byteLength);
  return Buffer.concat([Buffer.from('X'), length, bytes]);
}

/** A stored zip as torch.save lays it out, with nothing in it but this pickle. */
export function torchZipOf(pickle: Buffer): Buffer {
  const name = Buffer.from('archive/data.pkl');
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt32LE(crc32(pickle), 14);
  local.writeUInt32LE(pickle.byteLength, 18);
  local.writeUInt32LE(pickle.byteLength, 22);
  local.writeUInt16LE(name.byteLength, 26);
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x02014b50, 0);
  local.copy(central, 8, 6, 28); // flags to length of the name
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(46 + name.byteLength, 12);
  end.writeUInt32LE(30 + name.byteLength + pickle.byteLength, 16);
  return Buffer.concat([local, name, pickle, central, name, end]);
}

/** The form of before torch 1.6 with this pickle as its object and no storages. */
export function oldTorchFileOf(pickle: Buffer): Buffer {
  const magic = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
  const protocol = Buffer.from('80024de9032e', 'hex');
  return Buffer.concat([
    magic,
    protocol,
    pickleOf('}', textOf('little_endian'), Buffer.from([0x88]), 's'),
    pickle,
    pickleOf(']'),
  ]);
}

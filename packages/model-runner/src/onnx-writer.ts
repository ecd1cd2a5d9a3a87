/**
 * Writes ONNX models: the few protobuf messages that onnxruntime reads to build a graph.
 *
 *   ModelProto      1 ir_version   2 producer_name   7 graph   8 opset_import* { 1 domain  2 version }
 *   GraphProto      1 node*   2 name   5 initializer*   11 input*   12 output*
 *   NodeProto       1 input*   2 output*   3 name   4 op_type   5 attribute*   7 domain
 *   AttributeProto  1 name   2 f   3 i   4 s   8 ints*   20 type (1 FLOAT, 2 INT, 3 STRING, 7 INTS)
 *   TensorProto     1 dims*   2 data_type   8 name   9 raw_data (little-endian)
 *   ValueInfoProto  1 name   2 type { 1 tensor_type { 1 elem_type  2 shape { 1 dim* { 1 dim_value | 2 dim_param } } } }
 *
 * A field on the wire is the varint `number << 3 | kind`, then by kind: 0 a varint, 2 a varint length and that many bytes
 * (texts and nested messages), 5 four bytes of a float. `*` marks a field that is written once per entry.
 * Source: onnx/onnx@v1.19.0, onnx/onnx.proto3.
 */

/** Element types by their number in TensorProto.DataType. */
export const ELEMENT_TYPES = {
  float32: 1,
  uint16: 4,
  int32: 6,
  int64: 7,
  float16: 10,
  bfloat16: 16,
} as const;

export type ElementType = keyof typeof ELEMENT_TYPES;

/** A size, or the name of a size that is known only when the graph runs. */
export type Dimension = number | string;

/** The name of a value in a graph; `''` stands for an optional input that is left out. */
export type Value = string;

/** A whole number, a list of whole numbers or a text; a real number is `{ float }`, because 1 and 1.0 differ in ONNX. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/** The operator sets that this package's graphs use. IR 13 is the newest that onnxruntime 1.30 reads. */
const IR_VERSION = 13;
const OPSET_VERSION = 26;
const CONTRIB_DOMAIN = 'com.microsoft';

interface Node {
  readonly type: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** Operators of onnxruntime itself, not of the ONNX standard. */
const CONTRIB_OPERATORS = new Set(['FusedMatMul']);

/** A graph under construction. Every call adds to its end, so that values are always made before they are used. */
export class Graph {
  readonly #nodes: Node[] = [];
  readonly #initializers: Uint8Array[] = [];
  readonly #inputs: Uint8Array[] = [];
  readonly #outputs: Uint8Array[] = [];
  readonly #outputNames = new Map<Value, string>();
  #valueCount = 0;

  /** A value that the caller feeds at every run. */
  input(name: string, type: ElementType, shape: readonly Dimension[]): Value {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  /** A value that is stored in the graph. `int64` data is given as plain numbers. */
  constant(type: 'float32' | 'int64', shape: readonly number[], data: ArrayLike<number>): Value {
    const name = this.#newValue();
    const raw = type === 'float32' ? Float32Array.from(data) : BigInt64Array.from(Array.from(data, BigInt));
    const message = new Message();
    for (const size of shape) message.varint(1, size);
    message.varint(2, ELEMENT_TYPES[type]).text(8, name);
    message.bytes(9, new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength));
    this.#initializers.push(message.finish());
    return name;
  }

  /** The only output of a new node. */
  op(type: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    return this.ops(type, 1, inputs, attributes)[0] as Value;
  }

  /** The first `outputCount` outputs of a new node. */
  ops(
    type: string,
    outputCount: number,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value[] {
    const outputs = Array.from({ length: outputCount }, () => this.#newValue());
    this.#nodes.push({ type, inputs, outputs, attributes });
    return outputs;
  }

  /** Makes a node's output fetchable under `name`. One value has at most one such name. */
  output(name: string, value: Value, type: ElementType, shape: readonly Dimension[]): void {
    this.#outputNames.set(value, name);
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** The bytes of a ModelProto. */
  serialize(): Uint8Array {
    const graph = new Message();
    this.#nodes.forEach((node, index) => {
      graph.bytes(1, this.#nodeMessage(node, index));
    });
    graph.text(2, 'graph');
    for (const initializer of this.#initializers) graph.bytes(5, initializer);
    for (const input of this.#inputs) graph.bytes(11, input);
    for (const output of this.#outputs) graph.bytes(12, output);
    return new Message()
      .varint(1, IR_VERSION)
      .text(2, 'pai-cpt')
      .bytes(7, graph.finish())
      .bytes(8, new Message().text(1, '').varint(2, OPSET_VERSION).finish())
      .bytes(8, new Message().text(1, CONTRIB_DOMAIN).varint(2, 1).finish())
      .finish();
  }

  #newValue(): Value {
    return `v${this.#valueCount++}`;
  }

  #nodeMessage(node: Node, index: number): Uint8Array {
    const message = new Message();
    for (const input of node.inputs) message.text(1, this.#outputNames.get(input) ?? input);
    for (const output of node.outputs) message.text(2, this.#outputNames.get(output) ?? output);
    message.text(3, `${node.type}_${index}`).text(4, node.type);
    for (const [name, value] of Object.entries(node.attributes)) message.bytes(5, attributeMessage(name, value));
    if (CONTRIB_OPERATORS.has(node.type)) message.text(7, CONTRIB_DOMAIN);
    return message.finish();
  }
}

function attributeMessage(name: string, value: Attribute): Uint8Array {
  const message = new Message().text(1, name);
  if (typeof value === 'number') return message.varint(3, value).varint(20, 2).finish();
  if (typeof value === 'string') return message.text(4, value).varint(20, 3).finish();
  if ('float' in value) return message.float(2, value.float).varint(20, 1).finish();
  for (const entry of value) message.varint(8, entry);
  return message.varint(20, 7).finish();
}

function valueInfo(name: string, type: ElementType, shape: readonly Dimension[]): Uint8Array {
  const dimensions = new Message();
  for (const size of shape) {
    const dimension = typeof size === 'number' ? new Message().varint(1, size) : new Message().text(2, size);
    dimensions.bytes(1, dimension.finish());
  }
  const tensorType = new Message().varint(1, ELEMENT_TYPES[type]).bytes(2, dimensions.finish());
  return new Message().text(1, name).bytes(2, new Message().bytes(1, tensorType.finish()).finish()).finish();
}

/** One protobuf message; fields stand in the order of the calls. */
class Message {
  readonly #parts: Uint8Array[] = [];

  varint(field: number, value: number): this {
    this.#parts.push(varint(field << 3), varint(value));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#parts.push(varint((field << 3) | 2), varint(value.byteLength), value);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value));
  }

  float(field: number, value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    this.#parts.push(varint((field << 3) | 5), bytes);
    return this;
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

/** Seven bits a byte, lowest first, the top bit set on all but the last. A negative number takes ten bytes, as int64 does. */
function varint(value: number): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Uint8Array.from(bytes);
}

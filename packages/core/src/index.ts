export { type ByteSource, bytesSource, checkRange, countingSource, sliceSource } from './byte-source.ts';
export { bytesPerElement, castDtype, DTYPE_BYTES, type Dtype, isDtype } from './dtype.ts';
export {
  CptError,
  ERRORS,
  type ErrorCode,
  type ErrorDetails,
  type ErrorEntry,
  FormatError,
  InvalidInputError,
  MappingError,
  PaiError,
  UnsupportedError,
  WaitTimeoutError,
} from './errors.ts';
export { contiguousStride, elementCount, isContiguous, rowBytes, type Shape, tensorBytes } from './shape.ts';

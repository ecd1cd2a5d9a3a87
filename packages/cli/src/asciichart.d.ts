declare module 'asciichart' {
  const asciichart: {
    plot(series: readonly number[], options?: { height?: number; min?: number; max?: number }): string;
  };
  export default asciichart;
}

/** The last stdout line of our programs with `--json`, as far as the demo reads it. */
export interface BuildOutput {
  documents: number;
  tokens: number;
  vocabSize: number;
}

export interface PlanOutput {
  iterations: number;
  tokens: number;
  epochs?: number;
  findings: { check: string; level: string; message: string }[];
}

export interface ConversionOutput {
  tensors: number;
  bytes: number;
  peakRssBytes: number;
}

export interface VerifyOutput {
  ok: boolean;
  maxLayerRelativeL2: number;
  validationLoss: { hf: number; megatron: number };
}

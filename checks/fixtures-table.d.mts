export function fixtureFiles(): string[];
export function measure(name: string): { bytes: number; sha256: string };
export function tableRows(): { name: string; bytes: number; sha256: string }[];

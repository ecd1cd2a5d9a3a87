/** Texts that never belong in a message, whatever their value: header values and key ids in PAI's error texts. */
const PATTERNS: readonly [RegExp, string][] = [
  [/\bLTAI[A-Za-z0-9]{8,}/g, '***'],
  [/\bSTS\.[A-Za-z0-9]{8,}/g, '***'],
  [/(x-acs-(?:security-token|accesskey-id|bearer-token)\s*[:=]\s*)[^\s,;&"']+/gi, '$1***'],
  [/((?:Signature|Credential)=)[^\s,;&"']+/g, '$1***'],
  [/(Authorization\s*[:=]\s*)[^\s,;"']+(?:\s+[A-Za-z]+=[^\s"']+)?/gi, '$1***'],
];

/** Replaces secrets in text that may be printed. It learns them as they come into use. */
export interface Redactor {
  /** From now on these values are replaced wherever they occur. */
  learn(...secrets: readonly (string | undefined)[]): void;
  redact(text: string): string;
}

/** A redactor that knows the patterns above and every secret taught to it. */
export function createRedactor(): Redactor {
  // A text shorter than this would be found inside ordinary words.
  const shortestSecret = 4;
  let known: readonly string[] = [];
  return {
    learn(...secrets) {
      const fresh = secrets.filter((secret) => secret !== undefined && secret.length >= shortestSecret) as string[];
      // The longest first: one secret may hold another.
      known = [...new Set([...known, ...fresh])].sort((a, b) => b.length - a.length);
    },
    redact(text) {
      const withoutKnown = known.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
      return PATTERNS.reduce((rest, [pattern, replacement]) => rest.replace(pattern, replacement), withoutKnown);
    },
  };
}

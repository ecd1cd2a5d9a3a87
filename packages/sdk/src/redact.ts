/** Texts that never belong in a message, whatever their value: header values and key ids in PAI's error texts. */
const PATTERNS: readonly [RegExp, string][] = [
  [/\bLTAI[A-Za-z0-9]{8,}/g, '***'],
  [/\bSTS\.[A-Za-z0-9]{8,}/g, '***'],
  [/(x-acs-(?:security-token|accesskey-id|bearer-token)\s*[:=]\s*)[^\s,;&"']+/gi, '$1***'],
  [/((?:Signature|Credential)=)[^\s,;&"']+/g, '$1***'],
  [/(:\/\/[^\s/:@]+:)[^\s/@]+@/g, '$1***@'],
  [/\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}/g, '$1***'],
  [/(Authorization\s*[:=]\s*)[^\s,;"']+(?:\s+[A-Za-z]+=[^\s"']+)?/gi, '$1***'],
];

/** Replaces secrets in text that may be printed. It learns them as they come into use. */
export interface Redactor {
  /** From now on these values are replaced wherever they occur. */
  learn(...secrets: readonly (string | undefined)[]): void;
  redact(text: string): string;
}

/** What an environment calls its secrets; `train_tokens` is none. */
const SECRET_NAME = /TOKEN$|SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|(ACCESS|API|PRIVATE|AUTH)_?KEY/i;

/**
 * The secrets in the body of a request, wherever they stand: in a map of environment variables (`{ HF_TOKEN: … }`), or in a
 * list of names and values (`{ Key, Value }`, `{ name, value }`). PAI's error texts quote what was sent.
 */
export function secretsIn(body: unknown): string[] {
  if (typeof body !== 'object' || body === null) return [];
  if (Array.isArray(body)) return body.flatMap(secretsIn);
  const record = body as Record<string, unknown>;
  const name = record.Key ?? record.Name ?? record.name;
  const value = record.Value ?? record.value;
  const listed = typeof name === 'string' && typeof value === 'string' && SECRET_NAME.test(name) ? [value] : [];
  const named = Object.entries(record).flatMap(([key, item]) => {
    if (typeof item === 'string') return SECRET_NAME.test(key) ? [item] : [];
    return secretsIn(item);
  });
  return [...listed, ...named];
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

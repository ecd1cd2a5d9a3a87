/** True for a path with `*`, `?`, `[…]` or `{…}` in it. */
export const isPattern = (path: string): boolean => /[*?[{]/.test(path);

/** The folder below which all matches of a pattern lie: its parts before the first special one. */
export function patternBase(pattern: string): string {
  const parts = pattern.split('/');
  const first = parts.findIndex(isPattern);
  return parts.slice(0, first).join('/') || (pattern.startsWith('/') ? '/' : '.');
}

/**
 * A pattern as an expression over whole paths: `*` and `?` stay within a folder, a part `**` stands for any number of folders,
 * `[a-z]` and `[!a-z]` for one character, `{a,b}` for either.
 */
export function patternExpression(pattern: string): RegExp {
  let source = '';
  for (let at = 0; at < pattern.length; ) {
    const rest = pattern.slice(at);
    const list = /^\{([^{}]*)\}/.exec(rest);
    const set = /^\[(!|\^)?(\]?[^\]]*)\]/.exec(rest);
    if (rest.startsWith('**/') && (at === 0 || pattern[at - 1] === '/')) {
      source += '(?:[^/]+/)*';
      at += 3;
    } else if (rest === '**') {
      source += '.*';
      at += 2;
    } else if (list) {
      source += `(?:${(list[1] as string)
        .split(',')
        .map((part) => patternExpression(part).source.slice(1, -1))
        .join('|')})`;
      at += list[0].length;
    } else if (set) {
      source += `[${set[1] ? '^/' : ''}${(set[2] as string).replaceAll(/[\\\]^]/g, '\\$&')}]`;
      at += set[0].length;
    } else {
      const character = pattern[at] as string;
      const wild = { '*': '[^/]*', '?': '[^/]' }[character];
      source += wild ?? character.replace(/[.+^${}()|[\]\\/]/, '\\$&');
      at++;
    }
  }
  return new RegExp(`^${source}$`);
}

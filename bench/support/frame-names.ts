/** Names of functions as samplers give them, made short enough for a graph and the same from either sampler. PURE. */

const NAME_CHARS_MAX = 100;

/** `*name file:///path/src/a.ts:1:2` as `name src/a.ts:1`. How far V8 had compiled it would split one tower into several. */
export function scriptFrame(name: string): string {
  const [, called = '', place = ''] = /^[*~^+]?'?(.*?) ?((?:file:\/\/|node:|\/)\S*)$/.exec(name) ?? [];
  if (place === '') return shortened(name);
  const short = place
    .replace(/^file:\/\//, '')
    .replace(/^.*\/(node_modules|src|bench)\//, '$1/')
    .replace(/^node_modules\/\.pnpm\/.*?\/node_modules\//, '')
    .replace(/(:\d+):\d+$/, '$1');
  return `${called === '' ? 'anonymous' : called} ${short}`;
}

/** A C or C++ name without its arguments and templates' insides. */
export function nativeFrame(name: string): string {
  let rest = name.replaceAll('(anonymous namespace)::', '').replace(/@@?\w+_[\w.]+$/, '');
  for (let before = ''; before !== rest; ) {
    before = rest;
    rest = rest.replace(/<[^<>]*>/g, '').replace(/\([^()]*\)( const)?/g, '');
  }
  return shortened(rest.replace(/^.* (?=\S+::)/, '').trim() || name);
}

const shortened = (name: string) => (name.length > NAME_CHARS_MAX ? `${name.slice(0, NAME_CHARS_MAX - 1)}…` : name);

/**
 * The directions of docs/ARCHITECTURE.md: which room may import which. CI holds them here, so that reading a file's
 * folder tells what it can reach. Types count as imports; only the piece worker's job types may be imported alone.
 */
const { readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');

/** Files that say PURE in their opening are held to it. These, at least, must say so. */
const PURE_AT_LEAST = { swarm: ['picker', 'download', 'upload-queue'], tracker: ['registry'] };

function pureRooms(wing) {
  const directory = join(__dirname, 'src', 'main', wing);
  const saysPure = (file) => /^\/\*\*(?:(?!\*\/)[\s\S])*\bPURE\b/.test(readFileSync(join(directory, file), 'utf8'));
  const names = readdirSync(directory)
    .filter((file) => file.endsWith('.ts') && saysPure(file))
    .map((file) => file.slice(0, -'.ts'.length));
  const missing = PURE_AT_LEAST[wing].filter((name) => !names.includes(name));
  if (missing.length > 0) throw new Error(`src/main/${wing}: ${missing.join(', ')} must open with the word PURE`);
  return `^src/main/${wing}/(${names.join('|')})\\.ts$`;
}

const PURE_SWARM = pureRooms('swarm');
const PURE_TRACKER = pureRooms('tracker');
/** Plain types, for everyone. */
const STATUS = '^src/main/swarm/status\\.ts$';
const PROGRAMS = '^src/main/(tracker|client|index)\\.ts$';

/** Everything of ours except what is named; npm packages and Node's modules have rules of their own. */
const ours = (...allowed) => ({ path: '^(src|bench|test)/', pathNot: allowed });

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Two files that import each other are one file.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'declared-packages-only',
      comment: 'What is imported stands in package.json.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-dev-packages-in-src',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'] },
    },
    {
      name: 'src-knows-no-test-or-bench',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(bench|test)/' },
    },

    // Rooms.
    {
      name: 'protocol-imports-itself',
      severity: 'error',
      from: { path: '^src/protocol/' },
      to: ours('^src/protocol/'),
    },
    {
      name: 'protocol-is-pure',
      comment: 'Bytes in, values out: of Node, only what computes.',
      severity: 'error',
      from: { path: '^src/protocol/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|module|buffer|util)$' },
    },
    {
      name: 'workers-import-protocol',
      severity: 'error',
      from: { path: '^src/workers/' },
      to: ours('^src/(protocol|workers)/'),
    },
    {
      name: 'pure-swarm',
      severity: 'error',
      from: { path: PURE_SWARM },
      to: ours('^src/protocol/', PURE_SWARM, STATUS),
    },
    {
      name: 'pure-tracker',
      severity: 'error',
      from: { path: PURE_TRACKER },
      to: ours('^src/protocol/', PURE_TRACKER),
    },
    {
      name: 'pure-rooms-are-pure',
      severity: 'error',
      from: { path: [PURE_SWARM, PURE_TRACKER] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'support-imports-protocol',
      severity: 'error',
      from: { path: '^src/main/support/' },
      to: ours('^src/protocol/', '^src/main/support/'),
    },
    {
      name: 'net-imports-protocol',
      severity: 'error',
      from: { path: '^src/main/net/' },
      to: ours('^src/protocol/', '^src/main/(net|support)/'),
    },
    {
      name: 'engine-imports-protocol',
      severity: 'error',
      from: { path: '^src/main/engine/' },
      to: ours('^src/protocol/', '^src/main/(engine|support)/', '^src/workers/'),
    },
    {
      name: 'swarm-imports-downwards',
      severity: 'error',
      from: { path: '^src/main/swarm/' },
      to: ours('^src/protocol/', '^src/main/(swarm|engine|net|support)/'),
    },
    {
      name: 'tracker-imports-downwards',
      severity: 'error',
      from: { path: '^src/main/tracker/' },
      to: ours('^src/protocol/', '^src/main/(tracker|net|support)/', '^src/workers/log-jobs\\.ts$'),
    },
    {
      name: 'client-imports-downwards',
      severity: 'error',
      from: { path: '^src/main/client/' },
      to: ours('^src/protocol/', '^src/main/(client|swarm|engine|net|support)/'),
    },
    {
      name: 'shell-sees-nodes-only',
      comment: 'A shell speaks to a client or a tracker through its node and its types.',
      severity: 'error',
      from: { path: '^src/main/shell/' },
      to: ours(
        '^src/protocol/',
        '^src/main/(shell|support)/',
        '^src/main/client/(types|client)\\.ts$',
        '^src/main/tracker/(types|node)\\.ts$',
        STATUS,
      ),
    },
    {
      name: 'programs-are-tops',
      comment: 'Nothing in src imports a program.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: PROGRAMS },
    },

    // Powers.
    {
      name: 'only-net-opens-sockets',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/main/net/' },
      to: { dependencyTypes: ['core'], path: '^(node:)?(net|tls|dgram|http|https|http2|dns)(/|$)' },
    },
    {
      name: 'only-engine-has-workers',
      comment: 'And the log of a tracker, which is written on a thread of its own.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(main/engine|workers)/', '^src/main/tracker/log-thread\\.ts$'] },
      to: { path: '^(node:)?(worker_threads|child_process|cluster)$|node_modules/piscina/' },
    },
    {
      name: 'only-one-file-knows-etcd',
      severity: 'error',
      from: { path: '^(src|test|bench)/', pathNot: '^src/main/tracker/etcd-log\\.ts$' },
      to: { path: 'node_modules/(etcd3|cockatiel|@grpc)/' },
    },
    {
      name: 'only-engine-opens-files',
      comment: 'Also: directories of programs (support), keys (net/identity), settings (programs), history (shell).',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [
          '^src/main/(engine|support)/',
          '^src/workers/',
          '^src/main/net/identity\\.ts$',
          '^src/main/client/(catalog|client)\\.ts$',
          '^src/main/shell/history\\.ts$',
          PROGRAMS,
        ],
      },
      to: { dependencyTypes: ['core'], path: '^(node:)?fs(/promises)?$' },
    },
    {
      name: 'worker-by-url-only',
      comment: 'Workers run in threads of their own; only their types may be imported.',
      severity: 'error',
      from: { path: '^(src|bench)/', pathNot: '^src/workers/' },
      to: { path: '^src/workers/', dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // A program that benches start, with packages of its own that need not be installed.
    exclude: { path: '^bench/peers/webtorrent/' },
    // Types count: a room that needs another's types depends on it.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json', '.d.ts'],
    },
    reporterOptions: { text: { highlightFocused: true } },
  },
};
